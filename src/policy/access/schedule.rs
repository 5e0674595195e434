// SPDX-License-Identifier: Apache-2.0

//! When a rule holds, in UTC.

use crate::clock::Timestamp;
use crate::config::{AccessTime, Weekday};

const SECS_PER_DAY: u64 = 86_400;

/// A time condition, ready to be asked.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    from: u64,
    until: u64,
    days: Option<Vec<Weekday>>,
    /// Seconds of the day: from the first to before the second, over midnight if that is the earlier one.
    hours: Option<(u64, u64)>,
}

impl Schedule {
    /// Reads a condition; the error is the key at fault, and what was expected and found.
    pub(super) fn new(time: &AccessTime) -> Result<Self, (&'static str, String)> {
        let hours = match &time.hours {
            None => None,
            Some(text) => Some(hours(text).ok_or_else(|| {
                let found = text.escape_debug();
                (
                    "hours",
                    format!("expected hours such as \"08:00-18:00\", found \"{found}\""),
                )
            })?),
        };
        let schedule = Self {
            from: time.from.map_or(0, |moment| moment.0),
            until: time.until.map_or(u64::MAX, |moment| moment.0),
            days: time.days.clone(),
            hours,
        };
        if schedule.from >= schedule.until {
            return Err((
                "until",
                "expected a time after `from`, found an earlier one".to_owned(),
            ));
        }
        Ok(schedule)
    }

    /// Whether the condition holds. The hours after midnight belong to the day that they are on.
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        let secs = now.as_secs();
        let second = secs % SECS_PER_DAY;
        (self.from..self.until).contains(&secs)
            && self
                .days
                .as_ref()
                .is_none_or(|days| days.contains(&weekday(secs)))
            && self.hours.is_none_or(|(from, until)| {
                if from <= until {
                    (from..until).contains(&second)
                } else {
                    second >= from || second < until
                }
            })
    }
}

fn weekday(secs: u64) -> Weekday {
    match secs / SECS_PER_DAY % 7 {
        0 => Weekday::Thu,
        1 => Weekday::Fri,
        2 => Weekday::Sat,
        3 => Weekday::Sun,
        4 => Weekday::Mon,
        5 => Weekday::Tue,
        _ => Weekday::Wed,
    }
}

fn hours(text: &str) -> Option<(u64, u64)> {
    let (from, until) = text.split_once('-')?;
    let hours = (time_of_day(from)?, time_of_day(until)?);
    (hours.0 != hours.1 && hours.0 < SECS_PER_DAY).then_some(hours)
}

/// `08:00`, up to `24:00`, in seconds.
fn time_of_day(text: &str) -> Option<u64> {
    let (hour, minute) = text.split_once(':')?;
    let number = |part: &str| {
        let is_plain = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u64>().ok().filter(|_| is_plain)
    };
    let secs = number(hour)? * 3600 + number(minute).filter(|minute| *minute < 60)? * 60;
    (secs <= SECS_PER_DAY).then_some(secs)
}

#[cfg(test)]
mod tests {
    use super::Schedule;
    use crate::clock::Timestamp;
    use serde_json::{Value, json};

    /// 2027-01-15 was a Friday, and this is eight o'clock.
    const FRIDAY_8: u64 = 1_800_000_000;

    fn schedule(json: Value) -> Result<Schedule, (&'static str, String)> {
        Schedule::new(&serde_json::from_value(json).unwrap())
    }

    #[crate::test]
    fn a_schedule_holds_within_all_of_its_conditions() {
        for (time, offset, expected) in [
            (json!({}), 0, true),
            (json!({"from": "2027-01-15", "until": "2027-01-16"}), 0, true),
            (json!({"from": "2027-01-15T08:00:00Z"}), 0, true),
            (json!({"from": "2027-01-15T08:00:01Z"}), 0, false),
            (json!({"until": "2027-01-15T08:00:00Z"}), 0, false),
            (json!({"days": ["fri"]}), 0, true),
            (
                json!({"days": ["mon", "tue", "wed", "thu", "sat", "sun"]}),
                0,
                false,
            ),
            (json!({"days": ["thu"]}), 6 * 86_400, true),
            (json!({"hours": "08:00-18:00"}), 0, true),
            (json!({"hours": "08:00-18:00"}), 10 * 3600 - 1, true),
            (json!({"hours": "08:00-18:00"}), 10 * 3600, false),
            (json!({"hours": "08:01-24:00"}), 0, false),
            (json!({"hours": "22:00-06:00"}), 0, false),
            (json!({"hours": "22:00-06:00"}), 14 * 3600, true),
            (json!({"hours": "22:00-06:00"}), 21 * 3600, true),
            (json!({"hours": "22:00-06:00"}), 22 * 3600, false),
            (json!({"hours": "08:00-18:00", "days": ["sat"]}), 0, false),
        ] {
            let holds = schedule(time.clone())
                .unwrap()
                .holds(Timestamp::from_secs(FRIDAY_8 + offset));
            assert_eq!(holds, expected, "{time} {offset}");
        }
    }

    #[crate::test]
    fn a_schedule_that_never_holds_is_a_fault() {
        for hours in [
            "",
            "8-18",
            "08:00",
            "08:00-08:00",
            "08:60-09:00",
            "24:00-01:00",
            "25:00-26:00",
            "08:00 - 09:00",
        ] {
            assert!(
                schedule(json!({"hours": hours})).is_err_and(|(key, _)| key == "hours"),
                "{hours}"
            );
        }
        let twisted = schedule(json!({"from": "2027-01-02", "until": "2027-01-01"}));
        assert!(twisted.is_err_and(|(key, _)| key == "until"));
    }
}
