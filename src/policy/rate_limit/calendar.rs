// SPDX-License-Identifier: Apache-2.0

//! Calendar windows: what was spent is forgotten when the hour, day, week or month ends where the operator lives.
//!
//! A day may have 23 or 25 hours there, so the ends of periods are asked of the time zone database (`jiff`, which
//! carries it). That is done once per period and limit: the present one is remembered. A request keeps the ends of
//! its own period and of the next, so it can be settled without asking again. The index of what was spent is the
//! second at which its period ends.

use crate::clock::Timestamp;
use crate::config::CalendarUnit;
use core::cell::Cell;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};

const NANOS: u64 = 1_000_000_000;

/// When the present period ends, and the next, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    start: u64,
    end: u64,
    next_end: u64,
}

impl Period {
    /// The end of the period that holds `now` (nanoseconds), in seconds. Beyond the next one, which only a
    /// settlement that comes very late asks for, periods are taken to be as long as that.
    pub(super) fn end_at(self, now: u64) -> u64 {
        let now = now / NANOS;
        if now < self.end {
            return self.end;
        }
        let length = self.next_end.saturating_sub(self.end).max(1);
        let periods = now.saturating_sub(self.end) / length;
        self.end
            .saturating_add(periods.saturating_add(1).saturating_mul(length))
    }

    /// The nanosecond at which what was spent under this index is forgotten.
    pub(super) const fn until(end: u64) -> u64 {
        end.saturating_mul(NANOS)
    }
}

/// The periods of one limit.
#[derive(Debug)]
pub(super) struct Calendar {
    unit: CalendarUnit,
    zone: TimeZone,
    present: Cell<Option<Period>>,
}

impl Calendar {
    /// Periods in a time zone: a name of the database such as `Europe/Berlin`, or `UTC`.
    ///
    /// # Errors
    ///
    /// The database has no such zone.
    pub(super) fn new(unit: CalendarUnit, zone: &str) -> Result<Self, String> {
        let zone = TimeZone::get(zone).map_err(|_| {
            format!("expected a time zone such as \"Europe/Berlin\" or \"UTC\", found \"{zone}\"")
        })?;
        Ok(Self {
            unit,
            zone,
            present: Cell::new(None),
        })
    }

    /// The period that holds `now`.
    pub(super) fn period(&self, now: Timestamp) -> Period {
        let secs = now.as_secs();
        if let Some(period) = self.present.get()
            && (period.start..period.end).contains(&secs)
        {
            return period;
        }
        let period = self.find(secs).unwrap_or_else(|| fixed(self.unit, secs));
        self.present.set(Some(period));
        period
    }

    fn find(&self, secs: u64) -> Option<Period> {
        let now = jiff::Timestamp::from_second(i64::try_from(secs).ok()?).ok()?;
        let start = self.start_of(&now.to_zoned(self.zone.clone()))?;
        let end = self.after(&start)?;
        let next_end = self.after(&end)?;
        let secs = |zoned: &Zoned| u64::try_from(zoned.timestamp().as_second()).ok();
        Some(Period {
            start: secs(&start)?,
            end: secs(&end)?,
            next_end: secs(&next_end)?,
        })
    }

    fn start_of(&self, now: &Zoned) -> Option<Zoned> {
        match self.unit {
            // Not the civil hour: where clocks are set back it comes twice.
            CalendarUnit::Hour => {
                let into = i64::from(now.minute()) * 60 + i64::from(now.second());
                now.checked_sub(into.seconds()).ok()
            }
            CalendarUnit::Day => now.start_of_day().ok(),
            CalendarUnit::Week => {
                let days = now.weekday().since(Weekday::Monday);
                now.checked_sub(i64::from(days).days()).ok()?.start_of_day().ok()
            }
            CalendarUnit::Month => now.first_of_month().ok()?.start_of_day().ok(),
        }
    }

    fn after(&self, start: &Zoned) -> Option<Zoned> {
        let next = match self.unit {
            CalendarUnit::Hour => return start.checked_add(1.hour()).ok(),
            CalendarUnit::Day => 1.day(),
            CalendarUnit::Week => 1.week(),
            CalendarUnit::Month => 1.month(),
        };
        start.checked_add(next).ok()?.start_of_day().ok()
    }
}

/// Where the calendar has no answer, which is beyond the year 9999: periods of a fixed length since 1970.
const fn fixed(unit: CalendarUnit, secs: u64) -> Period {
    let length = match unit {
        CalendarUnit::Hour => 3_600,
        CalendarUnit::Day => 86_400,
        CalendarUnit::Week => 7 * 86_400,
        CalendarUnit::Month => 30 * 86_400,
    };
    let start = secs / length * length;
    Period {
        start,
        end: start.saturating_add(length),
        next_end: start.saturating_add(2 * length),
    }
}

#[cfg(test)]
mod tests {
    use super::{Calendar, Period};
    use crate::clock::Timestamp;
    use crate::config::CalendarUnit;

    /// The period that holds a moment, as local times.
    fn period(unit: CalendarUnit, zone: &str, at: &str) -> (String, String, String) {
        let calendar = Calendar::new(unit, zone).unwrap();
        let at: jiff::Timestamp = at.parse().unwrap();
        let at = Timestamp::from_secs(at.as_second().try_into().unwrap());
        let Period { start, end, next_end } = calendar.period(at);
        assert_eq!(calendar.period(at), Period { start, end, next_end }, "remembered");
        let local = |secs: u64| {
            let secs = i64::try_from(secs).unwrap();
            let zone = jiff::tz::TimeZone::get(zone).unwrap();
            let zoned = jiff::Timestamp::from_second(secs).unwrap().to_zoned(zone);
            zoned.strftime("%F %T%:z").to_string()
        };
        (local(start), local(end), local(next_end))
    }

    fn check(unit: CalendarUnit, zone: &str, at: &str, expected: [&str; 3]) {
        let (start, end, next_end) = period(unit, zone, at);
        assert_eq!([start, end, next_end], expected.map(str::to_owned), "{zone} {at}");
    }

    #[crate::test]
    fn periods_end_where_the_operator_lives() {
        check(
            CalendarUnit::Day,
            "UTC",
            "2026-11-21T23:59:59Z",
            [
                "2026-11-21 00:00:00+00:00",
                "2026-11-22 00:00:00+00:00",
                "2026-11-23 00:00:00+00:00",
            ],
        );
        check(
            CalendarUnit::Day,
            "Asia/Kolkata",
            "2026-11-21T18:30:00Z",
            [
                "2026-11-22 00:00:00+05:30",
                "2026-11-23 00:00:00+05:30",
                "2026-11-24 00:00:00+05:30",
            ],
        );
        check(
            CalendarUnit::Week,
            "Europe/Berlin",
            "2026-11-22T22:59:59Z",
            [
                "2026-11-16 00:00:00+01:00",
                "2026-11-23 00:00:00+01:00",
                "2026-11-30 00:00:00+01:00",
            ],
        );
        check(
            CalendarUnit::Month,
            "America/New_York",
            "2028-02-01T04:59:59Z",
            [
                "2028-01-01 00:00:00-05:00",
                "2028-02-01 00:00:00-05:00",
                "2028-03-01 00:00:00-05:00",
            ],
        );
    }

    #[crate::test]
    fn a_day_is_as_long_as_the_clocks_make_it() {
        check(
            CalendarUnit::Day,
            "Europe/Berlin",
            "2026-10-25T10:00:00Z",
            [
                "2026-10-25 00:00:00+02:00",
                "2026-10-26 00:00:00+01:00",
                "2026-10-27 00:00:00+01:00",
            ],
        );
        check(
            CalendarUnit::Month,
            "Europe/Berlin",
            "2026-03-29T10:00:00Z",
            [
                "2026-03-01 00:00:00+01:00",
                "2026-04-01 00:00:00+02:00",
                "2026-05-01 00:00:00+02:00",
            ],
        );
        // Midnight does not exist there on that day.
        check(
            CalendarUnit::Day,
            "America/Asuncion",
            "2023-10-01T12:00:00Z",
            [
                "2023-10-01 01:00:00-03:00",
                "2023-10-02 00:00:00-03:00",
                "2023-10-03 00:00:00-03:00",
            ],
        );
        check(
            CalendarUnit::Hour,
            "Australia/Lord_Howe",
            "2026-11-21T10:29:00Z",
            [
                "2026-11-21 21:00:00+11:00",
                "2026-11-21 22:00:00+11:00",
                "2026-11-21 23:00:00+11:00",
            ],
        );
    }

    #[crate::test]
    fn a_settlement_finds_the_period_that_it_falls_into() {
        let period = Period {
            start: 0,
            end: 10,
            next_end: 30,
        };
        let ends = [0, 9, 10, 29, 30, 49, 50].map(|secs| period.end_at(secs * 1_000_000_000));
        assert_eq!(ends, [10, 10, 30, 30, 50, 50, 70]);
    }

    #[crate::test]
    fn an_unknown_zone_is_a_fault_and_a_far_time_none() {
        assert!(Calendar::new(CalendarUnit::Day, "Mars/Olympus").is_err());
        let calendar = Calendar::new(CalendarUnit::Month, "UTC").unwrap();
        let end = calendar.period(Timestamp::from_nanos(u64::MAX)).end;
        assert!(end > u64::MAX / 1_000_000_000);
    }
}
