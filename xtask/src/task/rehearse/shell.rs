//! Runs a script with the program that a person would use: sqlite3 or psql.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use ops::change::rehearse::Shell;
use ops::target::postgres::psql_variables;
use ops::text::{ellipsis, one_line};
use ops::url::PostgresUrl;
use secrecy::ExposeSecret;

/// Runs a script on a SQLite file.
pub(super) fn sqlite3(file: &Path, script: &Path) -> Shell {
    let mut command = command("sqlite3");
    command.arg("-batch").arg(file);
    finish(command, "sqlite3", script)
}

/// Runs a script on a PostgreSQL database. Errors are told by their codes alone, for their texts may quote rows.
pub(super) fn psql(url: &PostgresUrl, script: &Path) -> Shell {
    let mut command = command("psql");
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=sqlstate", "-f", "-"]);
    for (name, value) in psql_variables(url) {
        command.env(name, value.expose_secret());
    }
    finish(command, "psql", script)
}

#[expect(clippy::disallowed_methods, reason = "the script is for these programs, and is tried with them")]
fn command(program: &str) -> Command {
    Command::new(program)
}

fn finish(mut command: Command, program: &str, script: &Path) -> Shell {
    let failed = |said: String| Shell::Failed { program: program.to_owned(), said };
    let script = match File::open(script) {
        Ok(script) => script,
        Err(error) => return failed(error.to_string()),
    };
    match command.stdin(script).stdout(Stdio::null()).stderr(Stdio::piped()).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Shell::Missing(program.to_owned()),
        Err(error) => failed(error.to_string()),
        Ok(output) if output.status.success() => Shell::Done(program.to_owned()),
        Ok(output) => failed(ellipsis(&one_line(String::from_utf8_lossy(&output.stderr).trim()), 300)),
    }
}
