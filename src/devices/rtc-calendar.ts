// SPDX-License-Identifier: Apache-2.0

/** The registers of the MC146818 that hold the time, with the century where the FADT's CENTURY field says. */
// prettier-ignore
export const RTC_TIME = {
  SECONDS:       0x00,
  SECONDS_ALARM: 0x01,
  MINUTES:       0x02,
  MINUTES_ALARM: 0x03,
  HOURS:         0x04,
  HOURS_ALARM:   0x05,
  DAY_OF_WEEK:   0x06, // 1 is Sunday
  DAY_OF_MONTH:  0x07,
  MONTH:         0x08,
  YEAR:          0x09,
  CENTURY:       0x32,
} as const;

/** How the registers are written: register B's DM and 24/12 bits. */
export interface RtcFormat {
  readonly binary: boolean;
  readonly hours24: boolean;
}

const PM = 0x80;
const SECONDS_PER_DAY = 86_400;
/** An alarm register at or above this matches every value. */
const ANY = 0xc0;

const encode = (value: number, format: RtcFormat): number =>
  format.binary ? value : ((value / 10) << 4) | (value % 10);
const decode = (value: number, format: RtcFormat): number => (format.binary ? value : (value >> 4) * 10 + (value & 15));

function encodeHour(hour: number, format: RtcFormat): number {
  if (format.hours24) return encode(hour, format);
  return encode(hour % 12 === 0 ? 12 : hour % 12, format) | (hour >= 12 ? PM : 0);
}

function decodeHour(value: number, format: RtcFormat): number {
  if (format.hours24) return decode(value, format);
  return (decode(value & ~PM, format) % 12) + ((value & PM) !== 0 ? 12 : 0);
}

/** Writes Unix seconds (UTC) into the time registers of `cmos`. */
export function writeCalendar(cmos: Uint8Array, unixSeconds: number, format: RtcFormat): void {
  const date = new Date(unixSeconds * 1000);
  const year = date.getUTCFullYear();
  cmos[RTC_TIME.SECONDS] = encode(date.getUTCSeconds(), format);
  cmos[RTC_TIME.MINUTES] = encode(date.getUTCMinutes(), format);
  cmos[RTC_TIME.HOURS] = encodeHour(date.getUTCHours(), format);
  cmos[RTC_TIME.DAY_OF_WEEK] = encode(date.getUTCDay() + 1, format);
  cmos[RTC_TIME.DAY_OF_MONTH] = encode(date.getUTCDate(), format);
  cmos[RTC_TIME.MONTH] = encode(date.getUTCMonth() + 1, format);
  cmos[RTC_TIME.YEAR] = encode(year % 100, format);
  cmos[RTC_TIME.CENTURY] = encode(Math.floor(year / 100), format);
}

/** The Unix seconds that the time registers of `cmos` say. Days and hours that do not exist run over. */
export function readCalendar(cmos: Uint8Array, format: RtcFormat): number {
  const field = (register: number): number => decode(cmos[register], format);
  const date = new Date(0);
  const year = field(RTC_TIME.CENTURY) * 100 + field(RTC_TIME.YEAR);
  date.setUTCFullYear(year, field(RTC_TIME.MONTH) - 1, field(RTC_TIME.DAY_OF_MONTH));
  date.setUTCHours(decodeHour(cmos[RTC_TIME.HOURS], format), field(RTC_TIME.MINUTES), field(RTC_TIME.SECONDS));
  return date.getTime() / 1000;
}

/** The first time after `unixSeconds` at which the alarm registers match; Infinity when they never do. */
export function nextAlarm(cmos: Uint8Array, unixSeconds: number, format: RtcFormat): number {
  const register = (index: number): number => cmos[index];
  const alarm = (index: number): number => (register(index) >= ANY ? -1 : decode(register(index), format));
  const rawHour = register(RTC_TIME.HOURS_ALARM);
  const hour = rawHour >= ANY ? -1 : decodeHour(rawHour, format);
  const minute = alarm(RTC_TIME.MINUTES_ALARM);
  const second = alarm(RTC_TIME.SECONDS_ALARM);
  if (hour > 23 || minute > 59 || second > 59) return Infinity;
  let time = unixSeconds + 1;
  for (const limit = time + SECONDS_PER_DAY; time <= limit;) {
    const ofDay = ((time % SECONDS_PER_DAY) + SECONDS_PER_DAY) % SECONDS_PER_DAY;
    if (hour >= 0 && Math.floor(ofDay / 3600) !== hour) time += 3600 - (ofDay % 3600);
    else if (minute >= 0 && Math.floor(ofDay / 60) % 60 !== minute) time += 60 - (ofDay % 60);
    else if (second >= 0 && ofDay % 60 !== second) time += 1;
    else return time;
  }
  return Infinity;
}
