#!/bin/sh
# The first process of L1: loads KVM, says what KVM found, runs the guest in /guest under QEMU with its console on the
# second serial port, and powers off. "turtles.batch" on L1's command line is handed on to the guest.

/bin/busybox mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp

leave() {
  echo "turtles: powering off"
  poweroff -f
}

echo "turtles: L1 is up"

while read -r module; do
  insmod "$module" || { echo "turtles: cannot load $module"; leave; }
done < /etc/turtles/modules

for parameter in /sys/module/kvm_*/parameters/*; do
  module=${parameter#/sys/module/}
  read -r value < "$parameter"
  echo "${module%%/*}.${parameter##*/}=$value"
done

[ -c /dev/kvm ] || { echo "turtles: there is no /dev/kvm"; leave; }

append=$(cat /guest/command-line)
case " $(cat /proc/cmdline) " in
  *" turtles.batch "*) append="$append turtles.batch" ;;
esac

# Raw before QEMU opens it, so that nothing typed early is echoed or changed.
stty -F /dev/ttyS1 raw -echo

echo "turtles: starting L2"
# shellcheck disable=SC2046 # one word of QEMU's command line on each line
$(cat /etc/turtles/qemu) $(cat /etc/turtles/qemu-arguments) \
  -kernel /guest/kernel -initrd /guest/initrd -append "$append"
echo "turtles: L2's QEMU ended with status $?"
leave
