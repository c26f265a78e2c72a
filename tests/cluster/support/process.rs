//! Programs that never outlive the test process, however it ends.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

/// Runs "$@" until it ends or stdin does. Stdin is a pipe that only the test process holds open, so it ends when the
/// test process drops it, exits or is killed. A line on stdin is the name of a signal for the program.
const GUARD: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
{
  while read -r signal <&3; do kill -s "$signal" "$program"; done
  kill -s KILL "$program"
} 2>/dev/null &
guard=$!
wait "$program"
status=$?
kill "$guard" 2>/dev/null
exit "$status"
"#;

/// A program that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    guard: Child,
    stdin: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with nothing of the environment but PATH and `env`. What it prints goes to the file `log`.
    pub(crate) fn start(
        program: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        env: &[(&str, &OsStr)],
        directory: &Path,
        log: &Path,
    ) -> Self {
        let output = File::create(log).unwrap();
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(program)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(env.iter().copied())
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let stdin = guard.stdin.take();
        Self { guard, stdin, log: log.to_owned() }
    }

    /// Whether the program has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.guard.try_wait().unwrap().is_some()
    }

    /// Sends a signal by its name: `TERM`.
    pub(crate) fn signal(&mut self, name: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{name}\n").as_bytes()).unwrap();
    }

    /// Waits until the program ends, and returns its exit status as a shell has it.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.guard.wait().unwrap().code()
    }

    /// What the program printed so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Nothing to be done about an error; the guard sees the end of the pipe in any case.
        let _ = self.guard.wait();
    }
}
