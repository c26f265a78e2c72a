//! How long does the API server wait for an answer?
//!
//! A review of a Pod with one image and with ten, from the body to the answer, by what is known when it comes in: the
//! verdicts, the repository without them, or nothing but the root of trust. `docs/performance.md` says more.
//!
//! What is measured is admission: a refusal ends early, and its time says nothing. So each answer is held against one
//! that was read and admits.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock and fails by panicking"
)]

mod support;

use divan::Bencher;
use support::{
    chain::Chain,
    entries::Entries,
    review,
    tls::{Client, Running},
};

/// How many images the Pod has.
const IMAGES: [usize; 3] = [1, 10, 100];

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// All verdicts are known: what nearly every review is like.
#[divan::bench(args = IMAGES, min_time = 1, max_time = 3)]
fn warm_in_process(bencher: Bencher<'_, '_>, images: usize) {
    let (chain, runtime) = (Chain::publish(images), support::runtime());
    let body = review::of_pod(&chain.references(images));
    let entries = Entries::of(runtime.block_on(chain.world()));
    let admitted = runtime.block_on(entries.admitted(&body));
    bencher.bench(|| runtime.block_on(entries.expect(&body, &admitted)));
}

/// The same, called as the API server does: HTTP/2 over TLS, on a connection that stays open.
#[divan::bench(args = IMAGES, min_time = 1, max_time = 3)]
fn warm_over_tls(bencher: Bencher<'_, '_>, images: usize) {
    let (chain, runtime) = (Chain::publish(images), support::runtime());
    let body = review::of_pod(&chain.references(images));
    let server = runtime.block_on(Running::start(runtime.block_on(chain.world())));
    // Whoever calls is another process: it does not share the server's threads.
    let caller = support::caller();
    let client = Client::of(&server);
    let admitted = caller.block_on(client.admitted(&body));
    bencher.bench(|| caller.block_on(client.expect(&body, &admitted)));
    server.has_one_connection();
}

/// The repository is in memory, the verdicts are not: files are fetched, in-toto is verified.
#[divan::bench(args = IMAGES, min_time = 1, max_time = 3)]
fn judgement_in_process(bencher: Bencher<'_, '_>, images: usize) {
    let (chain, runtime) = (Chain::publish(images), support::runtime());
    let body = review::of_pod(&chain.references(images));
    let world = runtime.block_on(chain.world());
    let admitted = runtime.block_on(Entries::of(world.clone()).admitted(&body));
    bencher.with_inputs(|| Entries::of(world.clone())).bench_refs(|entries| {
        runtime.block_on(entries.expect(&body, &admitted));
    });
}

/// Nothing is known but the first root, and there is no state: the first review of a new replica.
#[divan::bench(args = IMAGES, min_time = 1, max_time = 3)]
fn cold_in_process(bencher: Bencher<'_, '_>, images: usize) {
    let (chain, runtime) = (Chain::publish(images), support::runtime());
    let body = review::of_pod(&chain.references(images));
    let fresh = || Entries::of(runtime.block_on(chain.world()));
    let admitted = runtime.block_on(fresh().admitted(&body));
    bencher.with_inputs(fresh).bench_refs(|entries| {
        runtime.block_on(entries.expect(&body, &admitted));
    });
}
