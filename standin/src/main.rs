// SPDX-License-Identifier: Apache-2.0

//! `standin`: provider stand-ins for the demo, the tests and the benchmark.
//!
//! Serves OpenAI's, Anthropic's and AWS's wire formats on every address, with faults on demand and a record of what
//! was asked and sent. One thread, so that a benchmark can give it one core. See `README.md`.

mod anthropic;
mod anthropic_request;
mod azure;
mod bedrock;
mod bedrock_embeddings;
mod bedrock_request;
mod clock;
mod cohere;
mod control;
mod fast;
mod faults;
mod gemini;
mod gemini_request;
mod member_order;
mod openai;
mod openai_embeddings;
mod openai_request;
mod playback;
mod record;
mod reply;
mod sagemaker;
mod script;
mod server;
mod text;

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use crate::faults::Rule;
use crate::server::{Options, Server};

/// Provider stand-ins: true wire formats, faults on demand.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to serve on; may be given several times. Port 0 takes a free port.
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: Vec<SocketAddr>,
    /// Fault from the start, such as `model=always-fails,status=503` or a JSON rule.
    #[arg(long, value_parser = Rule::from_option)]
    fault: Vec<Rule>,
    /// Milliseconds between content events of a stream.
    #[arg(long, default_value_t = 0)]
    pace_ms: u64,
    /// Keep totals only, no requests and no production log.
    #[arg(long)]
    no_record: bool,
    /// Take `authorization: Bearer` for Anthropic too, as its newer SDKs send it.
    #[arg(long)]
    anthropic_bearer: bool,
    /// Answer without parsing or recording while no fault is in force, for benchmarks.
    #[arg(long)]
    fast: bool,
    /// Content events of a stream in fast mode.
    #[arg(long, default_value_t = 100)]
    fast_events: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.and_then(|runtime| LocalSet::new().block_on(&runtime, run(arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to report a failure to write to.
            let _ = writeln!(std::io::stderr(), "standin: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> std::io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let server = Rc::new(Server::new(Options {
        rules: arguments.fault,
        pace: Duration::from_millis(arguments.pace_ms),
        is_recording: !arguments.no_record && !arguments.fast,
        takes_anthropic_bearer: arguments.anthropic_bearer,
        fast_events: arguments.fast.then_some(arguments.fast_events),
    }));
    for address in arguments.listen {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })?;
        let bound = listener.local_addr()?;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "standin: listening on http://{bound}")?;
        stdout.flush()?;
        tokio::task::spawn_local(server::accept(Rc::clone(&server), listener, bound.to_string()));
    }
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    Ok(())
}
