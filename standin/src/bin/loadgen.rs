// SPDX-License-Identifier: Apache-2.0

//! `loadgen`: posts one request over and over and tells how fast the answers came.
//!
//! One thread, so that a benchmark can give it one core, and no HTTP library: the request is one prepared buffer
//! and of an answer only its end is found ([`answer`]). Each connection has one request under way at a time.
//!
//! Without `--rate` the next request follows the last answer at once. With it, requests are due at fixed times,
//! whichever connection is free takes the next one, and latency counts from the time it was *due*: a server that
//! stalls is charged for the requests it kept from being sent. A thread of its own keeps the time, because the
//! runtime's timers count in whole milliseconds.
//!
//! Counted are the answers that end inside the measured time. The latencies are kept, 8 bytes per answer.

#[path = "loadgen/answer.rs"]
mod answer;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use crate::answer::{Answer, Fault};

const READ_BUFFER: usize = 64 << 10;
const BETWEEN_RECONNECTS: Duration = Duration::from_millis(20);

/// Posts one request over and over; one JSON line tells how fast the answers came.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to post: `http://host:port/path`.
    #[arg(long)]
    url: String,
    /// File that holds the request's body.
    #[arg(long)]
    body_file: PathBuf,
    /// Connections, each with one request under way.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds before these.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Requests per second, sent when they are due; without it, as fast as answers come.
    #[arg(long)]
    rate: Option<f64>,
    /// Further request header, `name: value`; may be given several times.
    #[arg(long)]
    header: Vec<String>,
    /// File with further request headers, one to a line, of which each request has the next: many callers in turn.
    #[arg(long)]
    header_in_turn_file: Option<PathBuf>,
    /// Any other status is an error.
    #[arg(long, default_value_t = 200)]
    expect_status: u16,
}

/// What all connections share.
struct Load {
    authority: String,
    request: Request,
    expected_status: u16,
    schedule: Option<Schedule>,
    measured: Cell<bool>,
    under_way: Cell<u64>,
    totals: RefCell<Totals>,
}

/// What is posted.
struct Request {
    /// All of it, if no header is taken in turn, else what comes before that header.
    head: Vec<u8>,
    /// Whole header lines.
    in_turn: Vec<String>,
    next: Cell<usize>,
    /// What comes after that header.
    rest: Vec<u8>,
}

impl Request {
    /// The next request to send, in one piece.
    fn next(&self) -> Cow<'_, [u8]> {
        let index = self.next.get();
        self.next.set(index.wrapping_add(1));
        let line = index
            .checked_rem(self.in_turn.len())
            .and_then(|index| self.in_turn.get(index));
        match line {
            Some(line) => Cow::Owned([&self.head, line.as_bytes(), &self.rest].concat()),
            None => Cow::Borrowed(&self.head),
        }
    }
}

/// Counts of the measured time but for `answers`; durations in microseconds.
#[derive(Default)]
struct Totals {
    /// All that came as expected, before the measured time too.
    answers: u64,
    errors: u64,
    bytes: u64,
    latencies: Vec<u32>,
    first_bytes: Vec<u32>,
    first_error: Option<String>,
}

/// Requests that are due at fixed times.
struct Schedule {
    begin: Instant,
    per_second: f64,
    next: Cell<u64>,
    due: Arc<Semaphore>,
}

impl Schedule {
    fn begin(per_second: f64) -> Self {
        let (begin, due) = (now(), Arc::new(Semaphore::new(0)));
        let permits = Arc::clone(&due);
        // It sleeps for most of the time, and the process does not wait for it to end.
        std::thread::spawn(move || {
            for index in 0.. {
                std::thread::sleep(due_at(begin, per_second, index).saturating_duration_since(now()));
                permits.add_permits(1);
            }
        });
        Self {
            begin,
            per_second,
            next: Cell::new(0),
            due,
        }
    }

    /// Waits for the next request's turn and answers with the time when it was due.
    async fn next(&self) -> Instant {
        if let Ok(permit) = self.due.acquire().await {
            permit.forget();
        }
        let index = self.next.replace(self.next.get() + 1);
        due_at(self.begin, self.per_second, index)
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact for the first 2^53 requests")]
fn due_at(begin: Instant, per_second: f64, index: u64) -> Instant {
    begin + Duration::from_secs_f64(index as f64 / per_second)
}

#[expect(clippy::disallowed_methods, reason = "a load generator measures time")]
fn now() -> Instant {
    Instant::now()
}

/// Whole microseconds since `begin`.
fn micros_since(begin: Instant) -> u32 {
    u32::try_from(now().saturating_duration_since(begin).as_micros()).unwrap_or(u32::MAX)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| LocalSet::new().block_on(&runtime, run(arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to report a failure to write to.
            let _ = writeln!(std::io::stderr(), "loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let load = Rc::new(load(&arguments)?);
    let warmup = Duration::try_from_secs_f64(arguments.warmup)?;
    let measured = Duration::try_from_secs_f64(arguments.seconds)?;
    for _ in 0..arguments.connections {
        let stream = connect(&load.authority).await?;
        tokio::task::spawn_local(drive(Rc::clone(&load), stream));
    }
    tokio::time::sleep(warmup).await;
    load.measured.set(true);
    let begin = now();
    tokio::time::sleep(measured).await;
    load.measured.set(false);
    let seconds = now().saturating_duration_since(begin).as_secs_f64();
    let report = report(&load, seconds);
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

fn load(arguments: &Arguments) -> Result<Load, Box<dyn Error>> {
    let rest = arguments
        .url
        .strip_prefix("http://")
        .ok_or("--url: expected http://host:port/path")?;
    let (authority, path) = rest
        .split_at_checked(rest.find('/').unwrap_or(rest.len()))
        .unwrap_or((rest, ""));
    let path = if path.is_empty() { "/" } else { path };
    if arguments
        .rate
        .is_some_and(|rate| !(rate.is_finite() && rate > 0.0))
    {
        return Err("--rate: expected a number above 0".into());
    }
    let body = read(&arguments.body_file)?;
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    for line in &arguments.header {
        head.push_str(&header_line(line)?);
    }
    let in_turn = match &arguments.header_in_turn_file {
        Some(path) => String::from_utf8(read(path)?)?
            .lines()
            .map(header_line)
            .collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let (mut head, mut rest) = (head.into_bytes(), [b"\r\n".to_vec(), body].concat());
    if in_turn.is_empty() {
        head.append(&mut rest);
    }
    let request = Request {
        head,
        in_turn,
        next: Cell::new(0),
        rest,
    };
    Ok(Load {
        authority: authority.to_owned(),
        request,
        expected_status: arguments.expect_status,
        schedule: arguments.rate.map(Schedule::begin),
        measured: Cell::new(false),
        under_way: Cell::new(0),
        totals: RefCell::default(),
    })
}

/// A header as it is sent.
fn header_line(line: &str) -> Result<String, String> {
    if !line.contains(':') || line.contains(['\r', '\n']) {
        return Err(format!("expected a header `name: value`, found {line:?}"));
    }
    Ok(format!("{line}\r\n"))
}

#[expect(clippy::disallowed_methods, reason = "bodies and headers are files' contents")]
fn read(path: &PathBuf) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

async fn connect(authority: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(authority).await.map_err(|error| {
        std::io::Error::new(error.kind(), format!("cannot connect to {authority}: {error}"))
    })?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One connection, for ever. One that breaks or is closed is replaced.
async fn drive(load: Rc<Load>, mut stream: TcpStream) {
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let begin = match &load.schedule {
            Some(schedule) => schedule.next().await,
            None => now(),
        };
        load.under_way.set(load.under_way.get() + 1);
        let outcome = exchange(&load, &mut stream, &mut buffer, begin).await;
        load.under_way.set(load.under_way.get() - 1);
        let is_usable = match outcome {
            Ok(answer) => !answer.is_last,
            Err(error) => {
                load.failed(&error.to_string());
                false
            }
        };
        if !is_usable {
            stream = reconnect(&load).await;
        }
    }
}

async fn reconnect(load: &Load) -> TcpStream {
    loop {
        match connect(&load.authority).await {
            Ok(stream) => return stream,
            Err(error) => load.failed(&error.to_string()),
        }
        tokio::time::sleep(BETWEEN_RECONNECTS).await;
    }
}

/// Sends the request, reads its answer and counts it.
async fn exchange(
    load: &Load,
    stream: &mut TcpStream,
    buffer: &mut [u8],
    begin: Instant,
) -> Result<Answer, Box<dyn Error>> {
    stream.write_all(&load.request.next()).await?;
    let mut answer = Answer::new();
    let (mut filled, mut bytes, mut first_byte) = (0, 0_usize, None);
    while !answer.is_done() {
        let room = buffer.get_mut(filled..).filter(|room| !room.is_empty());
        let count = stream.read(room.ok_or(Fault::Malformed)?).await?;
        if count == 0 {
            return Err(Fault::Cut.into());
        }
        first_byte.get_or_insert_with(|| micros_since(begin));
        bytes += count;
        filled += count;
        let used = answer.read(buffer.get(..filled).unwrap_or_default())?;
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
    if filled > 0 {
        return Err(Fault::Malformed.into());
    }
    if answer.status == load.expected_status {
        load.answered(micros_since(begin), first_byte.unwrap_or_default(), bytes);
    } else {
        load.failed(&format!("status {}", answer.status));
    }
    Ok(answer)
}

impl Load {
    fn answered(&self, latency: u32, first_byte: u32, bytes: usize) {
        let mut totals = self.totals.borrow_mut();
        totals.answers += 1;
        if self.measured.get() {
            totals.latencies.push(latency);
            totals.first_bytes.push(first_byte);
            totals.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        }
    }

    fn failed(&self, why: &str) {
        if self.measured.get() {
            let mut totals = self.totals.borrow_mut();
            totals.errors += 1;
            totals.first_error.get_or_insert_with(|| why.to_owned());
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of answers is far below 2^53")]
fn report(load: &Load, seconds: f64) -> serde_json::Value {
    let mut totals = load.totals.take();
    totals.latencies.sort_unstable();
    totals.first_bytes.sort_unstable();
    let requests = totals.latencies.len();
    let at = |permille: usize| quantile(&totals.latencies, permille);
    serde_json::json!({
        "requests": requests,
        "answers": totals.answers,
        "errors": totals.errors,
        "first_error": totals.first_error,
        "unfinished": load.under_way.get(),
        "seconds": (seconds * 1e3).round() / 1e3,
        "rps": (requests as f64 / seconds * 10.0).round() / 10.0,
        "latency_us": {
            "p50": at(500),
            "p90": at(900),
            "p99": at(990),
            "p99.9": at(999),
            "max": totals.latencies.last(),
        },
        "first_byte_us": {
            "p50": quantile(&totals.first_bytes, 500),
            "p99": quantile(&totals.first_bytes, 990),
        },
        "bytes": totals.bytes,
    })
}

/// The least value that `permille` thousandths of the values do not exceed; none without values.
fn quantile(sorted: &[u32], permille: usize) -> Option<u32> {
    let rank = sorted.len().saturating_mul(permille).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::{Request, header_line, quantile};
    use std::cell::Cell;

    #[test]
    fn headers_are_taken_in_turn() {
        let request = |in_turn: &[&str]| Request {
            head: b"HEAD ".to_vec(),
            in_turn: in_turn.iter().map(|line| header_line(line).unwrap()).collect(),
            next: Cell::new(0),
            rest: b"REST".to_vec(),
        };
        let two = request(&["a: 1", "a: 2"]);
        let sent: Vec<_> = (0..3)
            .map(|_| String::from_utf8(two.next().into_owned()).unwrap())
            .collect();
        assert_eq!(
            sent,
            ["HEAD a: 1\r\nREST", "HEAD a: 2\r\nREST", "HEAD a: 1\r\nREST"]
        );
        assert_eq!(*request(&[]).next(), *b"HEAD ");
        assert!(header_line("no header").is_err());
    }

    #[test]
    fn a_quantile_is_the_least_value_that_covers_its_share() {
        let values: Vec<u32> = (1..=1000).collect();
        assert_eq!(
            [500, 900, 990, 999].map(|permille| quantile(&values, permille)),
            [Some(500), Some(900), Some(990), Some(999)]
        );
        assert_eq!(quantile(&[7], 999), Some(7));
        assert_eq!(quantile(&[1, 2, 3], 500), Some(2));
        assert_eq!(quantile(&[], 500), None);
    }
}
