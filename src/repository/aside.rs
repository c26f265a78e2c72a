//! Threads on which judgements are worked out, while those of the runtime answer probes and what was judged before.

use std::{io, sync::LazyLock, thread::available_parallelism};

use tokio::{
    runtime::{Builder, Handle, Runtime, RuntimeFlavor},
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

/// As many as there are processors, and always the same: a judgement reads megabytes and leaves a kilobyte that is kept.
/// On whichever thread is free, as `block_in_place` would have it, each of dozens comes to hold memory for the former.
static THREADS: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(processors()).thread_name("judge").build());

/// Judgements that are worked out at one time, in the whole process: each may take seconds of a processor, and the memory
/// of everything that it reads.
static AT_A_TIME: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(processors()));

fn processors() -> usize {
    available_parallelism().map_or(1, Into::into)
}

/// Leave to work something out.
pub(super) struct Turn(#[expect(dead_code, reason = "held until it is dropped")] SemaphorePermit<'static>);

/// Waits until few enough others work something out; `None` at the deadline.
pub(super) async fn turn(deadline: Instant) -> Option<Turn> {
    // Nobody closes it.
    timeout_at(deadline, AT_A_TIME.acquire()).await.ok()?.ok().map(Turn)
}

/// Works something out elsewhere. It goes on to its end, whether or not somebody still waits.
pub(super) async fn aside<T: Send + 'static>(turn: Turn, work: impl FnOnce() -> T + Send + 'static) -> T {
    let threads = match &*THREADS {
        // A runtime of one thread, as in tests whose clock does not run, has nothing that could go on meanwhile.
        Ok(threads) if Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread => threads,
        _ => return work(),
    };
    let work = async move {
        let _turn = turn;
        work()
    };
    match threads.spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // It is cancelled only when the process goes down: nobody is left to see an answer.
            Err(_) => std::future::pending().await,
        },
    }
}
