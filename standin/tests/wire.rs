// SPDX-License-Identifier: Apache-2.0

//! The stand-in as a process, seen from a raw socket: what unit tests cannot show.

#![expect(
    clippy::expect_used,
    reason = "what a test needs and does not get is a failure"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

struct Standin {
    process: Child,
    address: String,
}

impl Standin {
    fn start(options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_standin"))
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the stand-in starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line
            .trim()
            .strip_prefix("standin: listening on http://")
            .expect("an address")
            .to_owned();
        Self { process, address }
    }

    fn send(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a timeout");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: standin\r\nauthorization: Bearer k\r\nx-api-key: k\r\n\
             anthropic-version: 2023-06-01\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("a head is sent");
        stream.write_all(body.as_bytes()).expect("a body is sent");
        stream
    }

    /// The whole answer, until the connection is closed.
    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut answer = Vec::new();
        // A reset after a cut is an end as good as any.
        let _ = self.send(method, path, body).read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn control(&self, method: &str, action: &str, body: &Value) -> Value {
        let answer = self.ask(method, &format!("/__standin/{action}"), &body.to_string());
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
    }

    fn fault(&self, fault: &Value) {
        let rules = self.control("POST", "faults", &json!({"times": 1, "fault": fault}));
        assert!(rules.is_array(), "{rules}");
    }

    fn get(&self, action: &str) -> Value {
        self.control("GET", action, &Value::Null)
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const CHAT: &str = "/v1/chat/completions";

fn chat(text: &str, stream: bool) -> String {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}).to_string()
}

#[test]
fn a_cut_stream_has_its_events_but_no_end() {
    let standin = Standin::start(&[]);
    standin.fault(&json!({"cut_after_events": 2}));
    let answer = standin.ask("POST", CHAT, &chat("count:5", true));
    assert_eq!(answer.matches("\"content\":\"2 \"").count(), 1, "{answer}");
    // In the events alone: the `date` header of a second that ends in 3 has the same two characters.
    let (_, events) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!events.contains("3 ") && !answer.contains("[DONE]") && !answer.ends_with("0\r\n\r\n"));
    let totals = standin.get("totals");
    assert_eq!(totals.pointer("/0/cut"), Some(&json!(1)));
    assert_eq!(totals.pointer("/0/output_tokens_sent"), Some(&json!(2)));
    let whole = standin.ask("POST", CHAT, &chat("count:5", true));
    assert!(whole.contains("data: [DONE]") && whole.ends_with("0\r\n\r\n"));
}

#[test]
fn a_cut_document_is_shorter_than_announced() {
    let standin = Standin::start(&[]);
    standin.fault(&json!({"cut_after_bytes": 10}));
    let answer = standin.ask("POST", CHAT, &chat("Hello", false));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    assert_eq!(body.len(), 10);
    assert!(
        !head.contains("content-length: 10\r\n") && head.contains("content-length: "),
        "{head}"
    );
}

#[test]
fn an_abort_stops_the_production() {
    let standin = Standin::start(&["--pace-ms", "20"]);
    let mut stream = standin.send("POST", CHAT, &chat("count:10000", true));
    let mut some = [0_u8; 2000];
    stream.read_exact(&mut some).expect("some events");
    drop(stream);
    sleep(Duration::from_millis(300));
    let sent = || {
        standin
            .get("totals")
            .pointer("/0/output_tokens_sent")
            .and_then(Value::as_u64)
    };
    let (first, production) = (sent(), standin.get("production"));
    let outcome = standin
        .get("requests")
        .pointer("/0/outcome")
        .cloned()
        .expect("an outcome");
    assert_eq!(outcome.get("aborted_by_client"), Some(&json!(true)));
    assert_eq!(outcome.get("completed"), Some(&json!(false)));
    sleep(Duration::from_millis(200));
    assert_eq!(sent(), first);
    assert!(first.is_some_and(|count| (1..100).contains(&count)), "{first:?}");
    let produced: u64 = production
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|p| p[1].as_u64())
        .sum();
    assert_eq!(Some(produced), first.map(|count| count + 6));
}

#[test]
fn an_abort_before_the_headers_is_noticed() {
    let standin = Standin::start(&[]);
    standin.fault(&json!({"delay_ms": 60_000}));
    let stream = standin.send("POST", CHAT, &chat("Hello", false));
    sleep(Duration::from_millis(100));
    drop(stream);
    sleep(Duration::from_millis(100));
    assert_eq!(standin.get("totals").pointer("/0/aborted"), Some(&json!(1)));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test measures real time")]
fn delays_are_kept() {
    let standin = Standin::start(&[]);
    standin.fault(&json!({"delay_ms": 50, "before_first_event_ms": 50, "between_events_ms": 30}));
    let begun = Instant::now();
    let answer = standin.ask("POST", CHAT, &chat("count:3", true));
    assert!(answer.contains("[DONE]"));
    assert!(
        begun.elapsed() >= Duration::from_millis(160),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn faults_are_scripted_in_order_and_reset() {
    let standin = Standin::start(&["--fault", "model=m,path=/v1/messages,status=529,retry_after=7"]);
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = standin.ask("POST", "/v1/messages", &body.to_string());
    assert!(
        answer.starts_with("HTTP/1.1 529 ") && answer.contains("retry-after: 7\r\n"),
        "{answer}"
    );
    assert!(answer.contains("overloaded_error") && answer.contains("request-id: req_"));
    standin.fault(&json!({"status": 500}));
    standin.fault(&json!({"empty_stream": true}));
    assert!(
        standin
            .ask("POST", CHAT, &chat("Hi", true))
            .starts_with("HTTP/1.1 500 ")
    );
    let empty = standin.ask("POST", CHAT, &chat("Hi", true));
    assert!(empty.starts_with("HTTP/1.1 200 ") && empty.contains("text/event-stream"));
    assert!(empty.ends_with("\r\n\r\n0\r\n\r\n"), "{empty}");
    standin.fault(&json!({"status": 418}));
    assert!(standin.ask("GET", "/v1/models", "").starts_with("HTTP/1.1 418 "));
    standin.control("POST", "reset", &Value::Null);
    assert_eq!(standin.get("totals"), json!([]));
    assert_eq!(standin.get("faults").as_array().map(Vec::len), Some(1));
}

#[test]
fn an_empty_body_lands() {
    let standin = Standin::start(&[]);
    standin.fault(&json!({"empty_body": true, "extra_headers": {"X-Odd": "1"}}));
    let answer = standin.ask("POST", CHAT, &chat("Hi", false));
    assert!(
        answer.contains("content-length: 0\r\n") && answer.contains("x-odd: 1\r\n"),
        "{answer}"
    );
    assert_eq!(standin.get("totals").pointer("/0/completed"), Some(&json!(1)));
}

#[test]
fn large_bodies_are_taken() {
    let standin = Standin::start(&["--no-record"]);
    let answer = standin.ask("POST", CHAT, &chat(&"a".repeat(20 << 20), false));
    assert!(answer.contains("\"prompt_tokens\":5242883"), "{}", answer.len());
    assert_eq!(standin.get("requests"), json!([]));
    assert_eq!(standin.get("totals").pointer("/0/requests"), Some(&json!(1)));
}

#[test]
fn fast_mode_answers_both_forms_and_still_takes_faults() {
    let standin = Standin::start(&["--fast", "--fast-events", "7"]);
    assert!(
        standin
            .ask("POST", CHAT, &chat("Hi", false))
            .contains("\"object\":\"chat.completion\"")
    );
    let stream = standin.ask("POST", "/v1/messages", &chat("Hi", true));
    assert_eq!(stream.matches("text_delta").count(), 7);
    standin.fault(&json!({"status": 503}));
    assert!(
        standin
            .ask("POST", CHAT, &chat("Hi", false))
            .starts_with("HTTP/1.1 503 ")
    );
}

#[test]
fn sigterm_ends_it_cleanly() {
    let mut standin = Standin::start(&[]);
    let id = standin.process.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .expect("kill runs")
            .success()
    );
    assert!(standin.process.wait().expect("an end").success());
}
