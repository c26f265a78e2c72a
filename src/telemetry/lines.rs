//! Lines on standard error, those that belong together in one go.

use std::{
    cell::RefCell,
    io::{self, Write},
};

/// Bytes of lines that are held back at most.
const MOST: usize = 64 << 10;

thread_local! {
    /// What this thread holds back; nothing where it does not.
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Has the lines that `work` logs in this thread written at once, when it ends or panics: a Pod may have a hundred
/// images, each decision is a line, and to hand over each by itself costs as much as to make it.
pub fn at_once<T>(work: impl FnOnce() -> T) -> T {
    at_once_to(io::stderr, work)
}

fn at_once_to<W: Write, T>(sink: fn() -> W, work: impl FnOnce() -> T) -> T {
    struct Written<W: Write>(fn() -> W);
    impl<W: Write> Drop for Written<W> {
        fn drop(&mut self) {
            if let Some(held) = HELD.take() {
                // As for every line: there is nobody to tell.
                let _ = (self.0)().write_all(&held);
            }
        }
    }
    if HELD.with_borrow(Option::is_some) {
        return work();
    }
    HELD.set(Some(Vec::new()));
    let _written = Written(sink);
    work()
}

/// Standard error, behind what [`at_once`] holds back.
#[derive(Debug, Clone, Copy)]
pub struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_to(&mut io::stderr(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_to(sink: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let hold = |held: &RefCell<Option<Vec<u8>>>| {
        let mut held = held.borrow_mut();
        let Some(held) = held.as_mut() else { return sink.write(bytes) };
        if held.len().saturating_add(bytes.len()) > MOST {
            sink.write_all(held)?;
            held.clear();
        }
        held.extend_from_slice(bytes);
        Ok(bytes.len())
    };
    // A thread that ends has nothing that it could hold back in.
    HELD.try_with(hold).unwrap_or_else(|_| io::stderr().write(bytes))
}

#[cfg(test)]
mod tests {
    use std::{panic::catch_unwind, sync::Mutex};

    use super::*;

    thread_local! {
        static WRITTEN: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    }

    struct Sink;

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            WRITTEN.with_borrow_mut(|written| written.push(bytes.to_vec()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(text: &str) {
        write_to(&mut Sink, text.as_bytes()).unwrap();
    }

    fn written() -> Vec<String> {
        WRITTEN.take().into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
    }

    #[test]
    fn lines_that_belong_together_are_written_at_once_and_others_each_by_itself() {
        line("a");
        at_once_to(
            || Sink,
            || {
                line("b");
                at_once_to(|| Sink, || line("c"));
                line("d");
                assert_eq!(written(), ["a"]);
            },
        );
        line("e");
        assert_eq!(written(), ["bcd", "e"]);
    }

    #[test]
    fn nothing_is_lost_to_a_panic() {
        let panic = catch_unwind(|| {
            at_once_to(
                || Sink,
                || {
                    line("c");
                    panic!("as it may")
                },
            )
        });
        assert!(panic.is_err());
        line("d");
        assert_eq!(written(), ["c", "d"]);
    }

    #[test]
    fn only_so_much_is_held_back() {
        let long = "x".repeat(MOST / 2);
        at_once_to(|| Sink, || (0..5).for_each(|_| line(&long)));
        let lengths: Vec<usize> = written().iter().map(String::len).collect();
        assert_eq!(lengths, [MOST, MOST, MOST / 2]);
    }

    #[test]
    fn another_thread_does_not_wait() {
        let other = Mutex::new(Vec::new());
        at_once_to(
            || Sink,
            || {
                line("a");
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        line("b");
                        *other.lock().unwrap() = written();
                    });
                });
            },
        );
        assert_eq!((other.into_inner().unwrap(), written()), (vec!["b".to_owned()], vec!["a".to_owned()]));
    }
}
