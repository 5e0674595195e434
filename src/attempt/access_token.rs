// SPDX-License-Identifier: Apache-2.0

//! An access token that the filter itself fetches, from the metadata service of the machine that Envoy runs on.
//!
//! Pure: [`AccessToken::begin`] answers with the call to make, [`AccessToken::on_answer`] takes what came of it. The
//! next token is asked for when a fifth of the time is left that the last one is good for, and up to a tenth earlier,
//! so that many gateways do not ask at once. A metadata service gives a token that it has already until shortly before
//! its end, so the same one may come back, with less time. After a failure the pause doubles, up to a bound; a token
//! that is known is used until it has expired.
//!
//! A token is a secret: it is kept here, in the VM's memory, and in nothing that is shared or printed. Each worker has
//! its own.

use crate::clock::Timestamp;
use crate::config::{Credential, TokenRequest, token_cluster};
use core::fmt;
use core::time::Duration;
use serde_json::Value;
use std::rc::Rc;

/// The largest answer that is read, in bytes.
pub const MAX_TOKEN_ANSWER_BYTES: usize = 64 * 1024;
/// The longest token that is taken, in bytes. Headers have to hold it.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// How long to wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call is taken to be under way if nothing is heard of it.
const LEASE: Duration = Duration::from_secs(7);
/// The longest time that a token is taken to be good for, whatever the answer says.
const LONGEST_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// The shortest pause between two calls.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// A request for the host to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCall {
    /// The cluster to call.
    pub cluster: String,
    /// Host, path and header.
    pub request: TokenRequest,
    /// How long to wait for the answer.
    pub timeout: Duration,
    /// When it was asked, which is when the token's time begins.
    asked_at: Timestamp,
}

/// A token that may be presented.
struct Living {
    value: Rc<str>,
    lifetime: Duration,
    expires_at: Timestamp,
}

/// One provider's access token, as one worker knows it.
pub struct AccessToken {
    cluster: String,
    request: TokenRequest,
    living: Option<Living>,
    /// When to ask, and how far ahead that was when it was decided.
    next: (Timestamp, Duration),
    under_way: Option<Timestamp>,
    failures: u32,
}

impl AccessToken {
    /// The access token of a provider whose credential is one that the filter fetches.
    #[must_use]
    pub fn new(provider: &str, credential: &Credential) -> Option<Self> {
        let request = credential.token_request().ok()??;
        Some(Self {
            cluster: token_cluster(provider),
            request,
            living: None,
            next: (Timestamp::default(), Duration::ZERO),
            under_way: None,
            failures: 0,
        })
    }

    /// Whether both are asked for in the same way, so that one will do.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.cluster == other.cluster && self.request == other.request
    }

    /// The token to present at `now`.
    #[must_use]
    pub fn current(&self, now: Timestamp) -> Option<Rc<str>> {
        let living = self.living.as_ref()?;
        let left = living.expires_at.since(now);
        // More time than it ever had: the clock was set back, and nothing is known.
        (!left.is_zero() && left <= living.lifetime).then(|| Rc::clone(&living.value))
    }

    /// The call to make now, if it is time.
    pub fn begin(&mut self, now: Timestamp) -> Option<TokenCall> {
        let is_under_way = self
            .under_way
            .is_some_and(|since| now.since(since) < LEASE && since.since(now).is_zero());
        let (at, ahead) = self.next;
        let left = at.since(now);
        if is_under_way || (!left.is_zero() && left <= ahead) {
            return None;
        }
        self.under_way = Some(now);
        Some(TokenCall {
            cluster: self.cluster.clone(),
            request: self.request.clone(),
            timeout: TIMEOUT,
            asked_at: now,
        })
    }

    /// Takes what came of a call: a status and a body, or nothing. How long the token is good for.
    ///
    /// # Errors
    ///
    /// Why no token came. It holds nothing of the answer.
    pub fn on_answer(
        &mut self,
        call: &TokenCall,
        answer: Option<(u16, &[u8])>,
        now: Timestamp,
    ) -> Result<Duration, String> {
        self.under_way = None;
        let read = match answer {
            None => Err("no answer came".to_owned()),
            Some((200, body)) => read(body).map_err(str::to_owned),
            Some((status, _)) => Err(format!("the answer's status is {status}")),
        };
        match read {
            Ok((value, lifetime)) => {
                self.failures = 0;
                self.living = Some(Living {
                    value,
                    lifetime,
                    expires_at: call.asked_at.plus(lifetime),
                });
                self.pause(lifetime / 5 * 4, now);
                Ok(lifetime)
            }
            Err(reason) => {
                let backoff = SHORTEST_PAUSE.saturating_mul(1 << self.failures.min(5));
                self.failures = self.failures.saturating_add(1);
                self.pause(backoff.min(LONGEST_BACKOFF), now);
                Err(reason)
            }
        }
    }

    fn pause(&mut self, longest: Duration, now: Timestamp) {
        let share = u32::try_from(now.scattered() % 1000).unwrap_or(0);
        let pause = longest
            .saturating_sub(longest / 10 * share / 1000)
            .max(SHORTEST_PAUSE * 9 / 10);
        self.next = (now.plus(pause), pause);
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken {{ is_known: {} }}", self.living.is_some())
    }
}

/// Reads an answer of RFC 6749, section 5.1. Azure writes its numbers as texts.
fn read(body: &[u8]) -> Result<(Rc<str>, Duration), &'static str> {
    if body.len() > MAX_TOKEN_ANSWER_BYTES {
        return Err("the answer is too large");
    }
    let answer: Value = serde_json::from_slice(body).map_err(|_| "the answer is no JSON")?;
    let is_bearer = |kind: &Value| {
        kind.as_str()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"))
    };
    if !answer.get("token_type").is_some_and(is_bearer) {
        return Err("the answer's `token_type` is not Bearer");
    }
    let seconds = match answer.get("expires_in") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let seconds = seconds
        .filter(|seconds| *seconds > 0)
        .ok_or("the answer's `expires_in` is no number of seconds")?;
    let value = answer.get("access_token").and_then(Value::as_str);
    let value = value
        .filter(|value| !value.is_empty() && value.len() <= MAX_TOKEN_BYTES)
        .filter(|value| value.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or("the answer's `access_token` is none that a header may hold")?;
    Ok((value.into(), Duration::from_secs(seconds).min(LONGEST_LIFETIME)))
}

#[cfg(test)]
mod tests {
    use super::{AccessToken, MAX_TOKEN_ANSWER_BYTES, MAX_TOKEN_BYTES};
    use crate::clock::Timestamp;
    use core::time::Duration;
    use serde_json::{Value, json};

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn after(secs: u64) -> Timestamp {
        START.plus(Duration::from_secs(secs))
    }

    fn unfetched() -> AccessToken {
        let credential = serde_json::from_value(json!({"gcp_metadata": {}})).unwrap();
        AccessToken::new("vertex", &credential).unwrap()
    }

    fn good(value: &str, seconds: Value) -> String {
        json!({"access_token": value, "expires_in": seconds, "token_type": "Bearer"}).to_string()
    }

    /// Asks at `now`, and answers; the reason if that failed.
    fn fetch(
        access_token: &mut AccessToken,
        now: Timestamp,
        answer: Option<(u16, &[u8])>,
    ) -> Result<(), String> {
        let call = access_token.begin(now).expect("it is time");
        assert_eq!(access_token.begin(now), None, "one call at a time");
        access_token.on_answer(&call, answer, now).map(drop)
    }

    #[crate::test]
    fn a_token_is_renewed_ahead_of_its_end_and_used_until_then() {
        let mut access_token = unfetched();
        assert_eq!(access_token.current(START), None);
        let body = good("first", json!(3600));
        fetch(&mut access_token, START, Some((200, body.as_bytes()))).unwrap();
        assert_eq!(access_token.current(START).as_deref(), Some("first"));
        assert_eq!(access_token.begin(after(2500)), None);
        // Nothing comes: what is known stays until its end.
        let mut asked = 0;
        for second in 2881..3600 {
            if access_token.begin(after(second)).is_some() {
                asked += 1;
                let call = access_token.begin(after(second + 10)).unwrap();
                assert!(access_token.on_answer(&call, None, after(second)).is_err());
            }
            assert_eq!(
                access_token.current(after(second)).as_deref(),
                Some("first"),
                "{second}"
            );
        }
        assert!((20..60).contains(&asked), "{asked} calls in twelve minutes");
        assert_eq!(access_token.current(after(3600)), None);
        let body = good("second", json!("86399"));
        fetch(&mut access_token, after(3700), Some((200, body.as_bytes()))).unwrap();
        assert_eq!(access_token.current(after(3700)).as_deref(), Some("second"));
    }

    #[crate::test]
    fn the_pause_after_failures_grows_and_is_bounded() {
        let mut access_token = unfetched();
        let mut now = START;
        let mut pauses = Vec::new();
        for _ in 0..10 {
            assert!(
                fetch(&mut access_token, now, Some((503, b"secret"))).is_err_and(|reason| {
                    assert!(!reason.contains("secret"));
                    reason.contains("503")
                })
            );
            let failed_at = now;
            while access_token.begin(now).is_none() {
                now = now.plus(Duration::from_millis(100));
            }
            access_token.under_way = None;
            pauses.push(now.since(failed_at).as_millis());
        }
        assert!(
            (900..=1000).contains(&pauses[0]) && (1800..=2000).contains(&pauses[1]),
            "{pauses:?}"
        );
        assert!(pauses[9] <= 30_000 && pauses[9] >= 27_000, "{pauses:?}");
    }

    #[crate::test]
    fn a_call_that_nothing_is_heard_of_is_made_again() {
        let mut access_token = unfetched();
        assert!(access_token.begin(START).is_some());
        assert_eq!(access_token.begin(after(6)), None);
        assert!(access_token.begin(after(8)).is_some());
    }

    #[crate::test]
    fn a_clock_that_was_set_back_has_the_token_fetched_anew() {
        let mut access_token = unfetched();
        let body = good("first", json!(3600));
        fetch(&mut access_token, after(86_400), Some((200, body.as_bytes()))).unwrap();
        assert_eq!(access_token.current(START), None);
        assert!(access_token.begin(START).is_some());
    }

    #[crate::test]
    fn only_what_may_stand_in_a_header_is_taken() {
        let long = "a".repeat(MAX_TOKEN_BYTES + 1);
        let padded = format!("{}{}", good("t", json!(60)), " ".repeat(MAX_TOKEN_ANSWER_BYTES));
        for body in [
            String::new(),
            "[]".to_owned(),
            padded,
            good("", json!(60)),
            good("a b", json!(60)),
            good("a\r\nx-injected: 1", json!(60)),
            good("gr\u{fc}n", json!(60)),
            good(&long, json!(60)),
            good("t", json!(0)),
            good("t", json!(-1)),
            good("t", json!("soon")),
            good("t", json!(null)),
            json!({"access_token": "t", "expires_in": 60, "token_type": "mac"}).to_string(),
            json!({"access_token": "t", "expires_in": 60}).to_string(),
            json!({"access_token": 7, "expires_in": 60, "token_type": "Bearer"}).to_string(),
        ] {
            let mut access_token = unfetched();
            let failed = fetch(&mut access_token, START, Some((200, body.as_bytes())));
            assert!(failed.is_err(), "{}", &body[..body.len().min(80)]);
            assert_eq!(access_token.current(START), None);
        }
        let mut access_token = unfetched();
        let forever = good("t", json!(u64::MAX));
        fetch(&mut access_token, START, Some((200, forever.as_bytes()))).unwrap();
        assert_eq!(access_token.current(after(8 * 24 * 3600)), None);
        assert_eq!(format!("{access_token:?}"), "AccessToken { is_known: true }");
    }
}
