//! Commands that sign with keys that are elsewhere: an HSM, a key management service.

use std::{process::Stdio, time::Duration};

use anyhow::Context as _;
use jiff::SignedDuration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};

use crate::{
    crypto::{KeyId, Scheme},
    publish::ExternalSigner,
};

/// Bytes of an answer. The longest signature, of an RSA key of 8192 bits, is 2048 hex digits.
const MAX_ANSWER: u64 = 16 << 10;

/// A program with its arguments. It is started as it is, by no shell: it is given the bytes on standard input and prints
/// the signature.
pub(super) struct Program {
    name: String,
    arguments: Vec<String>,
    timeout: Duration,
}

impl Program {
    /// Splits a command at white space. Quotes mean nothing: what needs more than plain words is a script.
    pub(super) fn new(command: &str, timeout: SignedDuration) -> anyhow::Result<Self> {
        let mut words = command.split_whitespace().map(str::to_owned);
        let name = words.next().context("--signer: no command after the key id")?;
        Ok(Self { name, arguments: words.collect(), timeout: timeout.unsigned_abs() })
    }

    async fn run(&self, keyid: &KeyId, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.name);
        let mut child = Command::new(&self.name)
            .args(&self.arguments)
            .env("PRATIQUE_KEYID", keyid.as_str())
            .env("PRATIQUE_SCHEME", scheme.as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Whatever else ends this: a signer that hangs is not left behind.
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("{}: no standard input and output", self.name));
        };
        let write = async {
            // A program that has read enough may close its input: what it answers is verified.
            let _ = stdin.write_all(message).await;
            drop(stdin);
            Ok(())
        };
        let read = async {
            let mut answer = Vec::new();
            stdout.take(MAX_ANSWER + 1).read_to_end(&mut answer).await.map_err(failed)?;
            if answer.len() as u64 > MAX_ANSWER {
                // Also the end of the writing: a program that only talks may never listen.
                return Err(format!("{} printed more than {MAX_ANSWER} bytes", self.name));
            }
            Ok(answer)
        };
        let (answer, ()) = tokio::try_join!(read, write)?;
        let status = child.wait().await.map_err(failed)?;
        if status.success() { Ok(answer) } else { Err(format!("{} ended with {status}", self.name)) }
    }
}

impl ExternalSigner for Program {
    fn sign(&self, keyid: &KeyId, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let run = self.run(keyid, scheme, message);
            let late = |_| format!("{} did not answer within {:?}", self.name, self.timeout);
            tokio::time::timeout(self.timeout, run).await.map_err(late)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(command: &str, timeout: SignedDuration) -> Result<Vec<u8>, String> {
        let program = Program::new(command, timeout).unwrap();
        program.sign(&KeyId::from("0123456789"), Scheme::Ed25519, &[b'x'; 1 << 20])
    }

    fn long() -> SignedDuration {
        SignedDuration::from_hours(1)
    }

    #[test]
    fn a_program_gets_the_bytes_and_says_the_signature() {
        let sum = String::from_utf8(answer("sha256sum", long()).unwrap()).unwrap();
        assert_eq!(sum, format!("{}  -\n", crate::crypto::Sha256::of(&[b'x'; 1 << 20])));
        let env = String::from_utf8(answer("printenv PRATIQUE_KEYID PRATIQUE_SCHEME", long()).unwrap()).unwrap();
        assert_eq!(env, "0123456789\ned25519\n", "although it reads nothing");
    }

    #[test]
    fn no_shell_looks_at_the_command() {
        assert_eq!(answer("echo $HOME;", long()).unwrap(), b"$HOME;\n");
        assert!(Program::new("  ", long()).is_err());
    }

    #[test]
    fn a_program_that_fails_says_too_much_or_nothing_gives_no_signature() {
        assert_eq!(answer("false", long()).unwrap_err(), "false ended with exit status: 1");
        assert_eq!(answer("cat /dev/zero", long()).unwrap_err(), "cat printed more than 16384 bytes");
        assert!(answer("/nowhere/program", long()).unwrap_err().starts_with("/nowhere/program: "));
        let late = answer("tail -f /dev/null", SignedDuration::from_millis(10)).unwrap_err();
        assert_eq!(late, "tail did not answer within 10ms");
    }
}
