// SPDX-License-Identifier: Apache-2.0

//! The native command `tollgate`: checks `gateway.yaml`, renders Envoy's configuration from it, prints its schema,
//! makes API keys.
//!
//! The only room that reads files and prints, and it does so in one place each: [`read`], [`fn@write`] and the two
//! writers that [`run`] is given. Exit codes: 0 for a sound file, 1 for faults in it, 2 for a wrong command line
//! or a file that cannot be read or written.

pub mod check;
mod key;
pub mod render;
pub mod schema;
pub mod source;

use crate::config::{ConfigError, Moment};
use check::{Checked, Findings};
use clap::{Args, Parser, Subcommand, ValueEnum};
use render::envoy::Options;
use source::Source;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tollgate: an LLM gateway inside Envoy.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell every fault of a gateway.yaml.
    Check {
        #[command(flatten)]
        input: Input,
        /// Take warnings for faults.
        #[arg(long)]
        strict: bool,
    },
    /// Render configuration from a gateway.yaml.
    #[command(subcommand)]
    Render(Render),
    /// Print the JSON Schema of gateway.yaml.
    Schema,
    /// Make API keys.
    #[command(subcommand)]
    Key(Key),
}

#[derive(Debug, Subcommand)]
enum Key {
    /// Make an API key, and print it with what gateway.yaml has to say of it. It is kept nowhere.
    New {
        /// Whom the key stands for.
        #[arg(long, default_value = "CONSUMER")]
        consumer: String,
        /// The consumer's team.
        #[arg(long)]
        team: Option<String>,
        /// A name for the key, which limits and access rules may use as the label api_key.
        #[arg(long)]
        name: Option<String>,
        /// When it stops being accepted: 2027-01-31 or 2027-01-31T12:00:00Z
        #[arg(long)]
        expires: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum Render {
    /// A complete Envoy bootstrap.
    Envoy {
        #[command(flatten)]
        input: Input,
        /// Where to write. Default: standard output.
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Where Envoy finds the filter.
        #[arg(long, value_name = "PATH", default_value = "tollgate.wasm")]
        wasm: String,
        /// The folder where Envoy finds the secret-*.yaml that are written beside FILE. Default: FILE's own.
        #[arg(long, value_name = "PATH", requires = "out")]
        secrets: Option<String>,
        /// Render although `identity.trusted.header` is believed: a proxy before this listener sets the header and
        /// removes it from clients' requests.
        #[arg(long)]
        trusted_header_is_set_before: bool,
    },
    /// The filter's own configuration as JSON, for an Envoy configuration that is written by hand.
    Plugin {
        #[command(flatten)]
        input: Input,
        /// The seat that the filter takes.
        #[arg(long, default_value = "gateway")]
        seat: Seat,
        /// The cluster of the provider seat: as the provider, or NAME.2 for a route's second target of it.
        #[arg(long, value_name = "NAME")]
        cluster: Option<String>,
        /// Where to write. Default: standard output.
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Input {
    /// The file to read.
    #[arg(default_value = "envoy/gateway.yaml")]
    file: PathBuf,
    /// Change a value before the file is read: providers.openai.endpoint=http://127.0.0.1:9001/v1
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    set: Vec<String>,
}

/// Where the filter is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Seat {
    /// The listener filter of two.
    Gateway,
    /// Both halves in one listener filter.
    Both,
    /// The upstream filter of one cluster.
    Provider,
}

/// Why the command did not do what it was asked.
enum Failure {
    /// The file has faults: one line each.
    Faults(Vec<String>),
    /// The command could not even look: what to do next.
    Unusable(String),
}

/// Runs the command with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    run(
        std::env::args_os(),
        &mut io::stdout().lock(),
        &mut io::stderr().lock(),
    )
    .into()
}

/// Runs the command and returns its exit code. Results go to `out`, faults to `err`.
pub fn run<I>(arguments: I, out: &mut dyn Write, err: &mut dyn Write) -> u8
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(usage) => {
            // A closed pipe leaves nobody to tell.
            let to: &mut dyn Write = if usage.use_stderr() { err } else { out };
            let _ = write!(to, "{usage}");
            return if usage.use_stderr() { 2 } else { 0 };
        }
    };
    match execute(cli.command, out, err) {
        Ok(()) => 0,
        Err(Failure::Faults(faults)) => {
            for fault in &faults {
                let _ = writeln!(err, "{fault}");
            }
            let _ = writeln!(err, "{} found", counted(faults.len(), "fault"));
            1
        }
        Err(Failure::Unusable(message)) => {
            let _ = writeln!(err, "tollgate: {message}");
            2
        }
    }
}

/// `1 fault`, `2 faults`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn execute(command: Command, out: &mut dyn Write, err: &mut dyn Write) -> Result<(), Failure> {
    match command {
        Command::Check { input, strict } => {
            let checked = input.check(err, |checked| {
                let mut found = Findings::default();
                if strict {
                    found.faults = core::mem::take(&mut checked.warnings);
                }
                found
            })?;
            let summary = format!(
                "{}: sound ({}, {}, {})\n",
                input.file.display(),
                counted(checked.gateway.models.len(), "model"),
                counted(checked.gateway.providers.len(), "provider"),
                counted(checked.gateway.limits.len(), "limit")
            );
            emit(&summary, None, out)
        }
        Command::Render(Render::Envoy {
            input,
            out: to,
            wasm,
            secrets,
            trusted_header_is_set_before,
        }) => {
            let checked = input.check(err, |checked| {
                let mut found = Findings::default();
                if !trusted_header_is_set_before {
                    found
                        .faults
                        .0
                        .extend(render::envoy::fault_of_trusted_header(checked));
                }
                found
            })?;
            let from = input
                .file
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            let beside = to.as_deref().and_then(Path::parent);
            let secrets = secrets.or_else(|| beside.map(folder_name));
            let options = Options { wasm, from, secrets };
            let text = render::envoy::render(&checked, &options).map_err(Failure::Unusable)?;
            for (name, text) in render::envoy::secret_files(&checked) {
                if let Some(folder) = beside {
                    emit(&text, Some(&folder.join(name)), out)?;
                }
            }
            emit(&text, to.as_deref(), out)
        }
        Command::Render(Render::Plugin {
            input,
            seat,
            cluster,
            out: to,
        }) => {
            let checked = input.check(err, |checked| match seat {
                Seat::Gateway | Seat::Provider => Findings::default(),
                Seat::Both => render::both::judge(checked),
            })?;
            let text = render::plugin::render(checked, seat, cluster.as_deref());
            let text = text.map_err(Failure::Unusable)?;
            emit(&text, to.as_deref(), out)
        }
        Command::Key(Key::New {
            consumer,
            team,
            name,
            expires,
        }) => {
            let owner = key::Owner {
                consumer,
                team,
                name,
                expires,
            };
            emit(&key::new(&owner, now()).map_err(Failure::Unusable)?, None, out)
        }
        Command::Schema => emit(&schema::render().map_err(Failure::Unusable)?, None, out),
    }
}

impl Input {
    /// Reads and judges the file; `judge` says what is wrong with it for this use. Warnings are told.
    fn check(
        &self,
        err: &mut dyn Write,
        judge: impl FnOnce(&mut Checked) -> Findings,
    ) -> Result<Checked, Failure> {
        let shown = self.file.display();
        let text = read(&self.file).map_err(|reason| {
            let next = "name an existing file, or copy envoy/gateway.yaml to begin with";
            Failure::Unusable(format!("cannot read {shown}: {reason}; {next}"))
        })?;
        let mut source = Source::parse(&text).map_err(|(line, fault)| {
            let line = line.map_or_else(String::new, |line| format!(":{line}"));
            Failure::Faults(vec![format!("{shown}{line}: {fault}")])
        })?;
        for setting in &self.set {
            source.set(setting).map_err(Failure::Unusable)?;
        }
        let folder = self.file.parent().unwrap_or_else(|| Path::new(""));
        let mut checked = check::check(&source, &|name| read(&folder.join(name)), now())
            .map_err(|faults| Failure::Faults(self.located(&source, &faults, "")))?;
        let found = judge(&mut checked);
        let warnings = [checked.warnings.0.as_slice(), &found.warnings.0].concat();
        for warning in self.located(&source, &warnings, "warning: ") {
            let _ = writeln!(err, "{warning}");
        }
        if found.faults.0.is_empty() {
            Ok(checked)
        } else {
            Err(Failure::Faults(self.located(&source, &found.faults.0, "")))
        }
    }

    /// What was found, a line each, in the order of the file.
    fn located(&self, source: &Source, found: &[ConfigError], kind: &str) -> Vec<String> {
        let mut located: Vec<_> = found
            .iter()
            .map(|fault| (source.line(&fault.path), fault))
            .collect();
        located.sort_by_key(|(line, _)| *line);
        let lines = located.into_iter().map(|(line, fault)| {
            let place = match (source.setting(&fault.path), line) {
                (Some(setting), _) => format!("--set {setting}"),
                (None, Some(line)) => format!("{}:{line}", self.file.display()),
                (None, None) => self.file.display().to_string(),
            };
            format!("{place}: {kind}{fault}")
        });
        lines.collect()
    }
}

/// The time, by which keys expire.
#[expect(
    clippy::disallowed_methods,
    reason = "the command's only place that reads the clock"
)]
fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment(since.map_or(0, |since| since.as_secs()))
}

/// A folder as it is written in a path: the one at hand has a name too.
fn folder_name(folder: &Path) -> String {
    match folder.to_str() {
        None | Some("") => ".".to_owned(),
        Some(name) => name.to_owned(),
    }
}

fn emit(text: &str, to: Option<&Path>, out: &mut dyn Write) -> Result<(), Failure> {
    match to {
        None => out.write_all(text.as_bytes()).map_err(|reason| {
            Failure::Unusable(format!("cannot write to standard output: {reason}; use -o FILE"))
        }),
        Some(path) => write(path, text).map_err(|reason| {
            let next = "name a file in a folder that exists and may be written to";
            Failure::Unusable(format!("cannot write {}: {reason}; {next}", path.display()))
        }),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command's only place that reads files"
)]
fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|reason| reason.to_string())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command's only place that writes files"
)]
fn write(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)
}
