//! The entries of the webhook, called by tasks of the same process.

use std::{sync::Arc, time::Instant};

use crate::{
    load::{Times, again_and_again},
    support::{chain::Chain, entries::Entries, review, runtime},
};

/// The same review from each of so many tasks, the next when the last is answered, for so long. What it is about is known.
pub(crate) fn closed_loop(images: usize, callers: usize, milliseconds: u64) -> Times {
    let (chain, runtime) = (Chain::publish(images), runtime());
    let body = review::of_pod(&chain.references(images));
    runtime.block_on(async {
        let entries = Entries::of(chain.world().await);
        let admitted = entries.admitted(&body).await;
        let question = Arc::new((entries, body, admitted));
        again_and_again(vec![(); callers], milliseconds, move |()| {
            let question = question.clone();
            async move {
                let (entries, body, admitted) = &*question;
                let asked = Instant::now();
                entries.expect(body, admitted).await;
                asked.elapsed()
            }
        })
        .await
    })
}
