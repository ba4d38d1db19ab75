#!/bin/sh
# The first process of a plain guest: L2, or L1 without a hypervisor. It runs busybox only.
# "turtles.batch" on the kernel's command line: a self-check, then power off. Otherwise a shell on the console.

/bin/busybox mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

leave() {
  echo "turtles: powering off"
  poweroff -f
}

# The same work at every level. The sum is that of 16 MiB of the line "turtles", so it is known beforehand.
self_check() {
  echo "turtles: self-check begins"
  uname -a
  grep -m 1 "model name" /proc/cpuinfo
  sum=$(yes turtles | head -c 16777216 | sha256sum)
  sum=${sum%% *}
  echo "sha256 of 16 MiB: $sum"
  echo "uptime: $(cat /proc/uptime)"
  if [ "$sum" = "$(cat /etc/turtles/expected-sha256)" ]; then
    echo "turtles: self-check passed"
  else
    echo "turtles: self-check FAILED"
  fi
}

case " $(cat /proc/cmdline) " in
  *" turtles.batch "*)
    self_check
    ;;
  *)
    echo "turtles: shell; 'exit' powers this machine off"
    setsid cttyhack sh
    ;;
esac
leave
