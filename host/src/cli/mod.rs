//! The command line.

mod log;
mod serve;
mod check;
mod admin;
mod backup;
mod assemble;

use std::fmt::Display;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;

use crate::config::Flags;
use crate::engine;

/// Runs WebAssembly jobs in sessions, one transaction per job.
#[derive(Parser)]
#[command(name = "sessile", version, about)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Starts the server. Prints one JSON line when it can take jobs; logs go to stderr.
    Serve {
        /// The configuration file (TOML).
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The directory that holds all that lasts.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Where to listen, such as 127.0.0.1:7777; port 0 lets the system choose.
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
        /// Makes and prints a key with all rights; loopback only.
        #[arg(long)]
        dev: bool,
        /// Starts only if the server can confine itself by Landlock and seccomp.
        #[arg(long)]
        require_confinement: bool,
    },
    /// Makes, lists and deletes tenants of a server that does not run, and sets their quotas; of one that runs, `/v1/admin/tenants` does.
    Tenant {
        #[command(subcommand)]
        verb: admin::TenantVerb,
    },
    /// Makes, lists and deletes API keys of a server that does not run; of one that runs, `/v1/admin/tenants/…/keys` does.
    Key {
        #[command(subcommand)]
        verb: admin::KeyVerb,
    },
    /// Says what is wrong in the data directory of a server that does not run. Changes nothing.
    Check {
        /// The data directory.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Saves a data directory in one file, which holds its secrets. The server may run.
    Backup {
        /// The data directory.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// The backup; must not be there yet.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Makes a data directory from a backup.
    Restore {
        /// The backup.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The data directory; must be absent or empty.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Turns a module or component in the text format into the binary that the server takes.
    Assemble {
        /// The text.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The binary; is replaced if it is there.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// What the server starts to compile a module.
    #[command(hide = true)]
    CompileChild { words: Vec<String> },
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    match Command::parse().verb {
        Verb::Serve { config, data, listen, dev, require_confinement } => {
            serve::serve(&Flags { config, data, listen, dev, require_confinement })
        }
        Verb::Tenant { verb } => admin::tenant(verb),
        Verb::Key { verb } => admin::key(verb),
        Verb::Check { data } => check::check(&data),
        Verb::Backup { data, to } => backup::back_up(&data, &to),
        Verb::Restore { from, data } => backup::restore(&from, &data),
        Verb::Assemble { from, to } => assemble::assemble(&from, &to),
        Verb::CompileChild { words } => engine::compile_child(&words),
    }
}

/// Prints a line on stdout. Nobody may be there to read it, which changes nothing
/// of what was done.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
