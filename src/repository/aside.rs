//! Threads on which judgements are worked out, while those of the runtime answer probes and what was judged before.

use std::{io, sync::LazyLock, thread::available_parallelism};

use tokio::{
    runtime::{Builder, Handle, Runtime, RuntimeFlavor},
    sync::{Semaphore, SemaphorePermit},
    task::JoinError,
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

/// Waits until few enough others work something out; `None` at the deadline.
pub(super) async fn turn(deadline: Instant) -> Option<SemaphorePermit<'static>> {
    // Nobody closes it.
    timeout_at(deadline, AT_A_TIME.acquire()).await.ok()?.ok()
}

/// Works something out elsewhere. It goes on to its end, whether or not somebody still waits.
pub(super) async fn aside<T: Send + 'static>(
    turn: SemaphorePermit<'static>,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let threads = match &*THREADS {
        // A runtime of one thread, as in tests whose clock does not run, has nothing that could go on meanwhile.
        Ok(threads) if Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread => threads,
        _ => return work(),
    };
    let work = async move {
        let _turn = turn;
        work()
    };
    done(threads.spawn(work).await).await
}

/// What a task came to that was done on another thread; a panic goes on in whoever waited for it.
pub(super) async fn done<T>(ended: Result<T, JoinError>) -> T {
    match ended {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Nobody cancels one but the runtime that goes down: nobody is left to see an answer.
            Err(_) => std::future::pending().await,
        },
    }
}
