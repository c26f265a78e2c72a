//! Lines about what happens, as text for people or JSON for machines.

use std::io;

use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, Layer as _, fmt::MakeWriter, layer::SubscriberExt as _};

use super::{lines::StandardError, traces::Traces};
use crate::verdict::{deceives, is_plain};

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON object per line. No value can begin a line of its own.
    #[default]
    Json,
    /// For reading at a terminal.
    Text,
}

/// Why nothing can be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a filter.
    #[error("{filter:?} is not a log filter such as \"info\" or \"info,pratique=debug\": {why}")]
    BadFilter {
        /// The text.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something else in this process logs already.
    #[error("the process has a logger already")]
    Twice,
}

impl Error {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadFilter { .. } | Self::Twice => "internal/logging",
        }
    }
}

/// From now on the lines of the whole process that pass `filter` go to standard error, and spans to `traces`. Once per
/// process.
pub fn start(format: Format, filter: &str, traces: Option<&Traces>) -> Result<(), Error> {
    tracing::subscriber::set_global_default(subscriber(format, filter, || StandardError, traces)?)
        .map_err(|_| Error::Twice)
}

/// The same for one thread or task and any writer.
pub fn subscriber<W>(
    format: Format,
    filter: &str,
    writer: W,
    traces: Option<&Traces>,
) -> Result<Box<dyn Subscriber + Send + Sync>, Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let bad = |why: String| Error::BadFilter { filter: filter.to_owned(), why };
    let filter = EnvFilter::builder().parse(filter).map_err(|error| bad(error.to_string()))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(Plainly { inner: writer, format });
    // Each has a filter of its own: what is logged does not decide what is traced.
    let lines = match format {
        Format::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).with_filter(filter).boxed()
        }
        Format::Text => lines.with_ansi(false).with_filter(filter).boxed(),
    };
    Ok(Box::new(tracing_subscriber::registry().with(lines).with(traces.map(Traces::layer))))
}

/// Writes each event on one line, whatever the values are and whoever logs them: what would break the line or deceive
/// whoever reads it at a terminal is spelled out.
struct Plainly<W> {
    inner: W,
    format: Format,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Plainly<W> {
    type Writer = Plainly<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Plainly { inner: self.inner.make_writer(), format: self.format }
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        Plainly { inner: self.inner.make_writer_for(meta), format: self.format }
    }
}

impl<W: io::Write> io::Write for Plainly<W> {
    /// An event comes whole, with the end of its line.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        if is_plain(line) {
            self.inner.write_all(event)?;
        } else {
            self.inner.write_all((spelled_out(line, self.format) + "\n").as_bytes())?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn spelled_out(line: &str, format: Format) -> String {
    let mut out = String::with_capacity(line.len());
    for character in line.chars() {
        match format {
            _ if !deceives(character) => out.push(character),
            Format::Text => out.extend(character.escape_unicode()),
            // They stand in strings: outside of these JSON has none, and serde leaves none of them out of line.
            Format::Json => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, filter: &str, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, filter, move || writer.clone(), None).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn json_lines_keep_a_hostile_value_on_one_line() {
        let text = logged(Format::Json, "info", || {
            tracing::info!(image = "a\n{\"level\":\"INFO\"}\u{1b}[2K", "refused");
            tracing::debug!("not this one");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "refused");
        assert_eq!(line["image"], "a\n{\"level\":\"INFO\"}\u{1b}[2K");
        assert_eq!(line["level"], "INFO");
    }

    /// Values as they are recorded in each way there is, and a message.
    fn hostile() -> (&'static str, usize) {
        let value = "a\n{\"level\":\"INFO\"}\r\u{1b}[2K\u{9b}31m\u{7f}\u{202e}\u{2028}\u{e0041}z";
        (value, 4)
    }

    #[test]
    fn whatever_is_logged_and_however_it_is_one_line_that_deceives_nobody() {
        let (value, ways) = hostile();
        for format in [Format::Json, Format::Text] {
            let text = logged(format, "info", || {
                tracing::info!(image = value, "refused");
                tracing::info!(image = %value, "refused");
                tracing::info!(image = ?value, "refused");
                tracing::info!("refused {value}");
            });
            assert_eq!(text.lines().count(), ways, "{text}");
            assert!(text.lines().all(is_plain), "{text:?}");
            assert_eq!(text.matches("refused").count(), ways);
            if format == Format::Json {
                for line in text.lines() {
                    let line: serde_json::Value = serde_json::from_str(line).unwrap();
                    assert_eq!(line["level"], "INFO");
                    let said = format!("{} {}", line["image"], line["message"]);
                    assert!(said.contains("202e") || said.contains('\u{202e}'), "{said}");
                }
                let second: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
                assert_eq!(second["image"], value, "JSON keeps what it was");
            }
        }
    }

    #[test]
    fn text_lines_name_their_fields() {
        let text = logged(Format::Text, "info", || tracing::warn!(repository = "acme", "is behind"));
        assert!(text.contains("WARN") && text.contains("is behind repository=\"acme\""), "{text}");
    }

    #[test]
    fn a_process_has_one_logger() {
        // Whoever comes first in this process; the tests' own lines go to loggers of their threads.
        let _ = start(Format::Text, "off", None);
        assert_eq!(start(Format::Text, "off", None), Err(Error::Twice));
    }

    #[test]
    fn refuses_what_is_no_filter() {
        let error = subscriber(Format::Text, "pratique=loud", io::stderr, None).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::BadFilter { .. }));
    }
}
