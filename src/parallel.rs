//! Pure functions worked out side by side.
//!
//! Which thread worked out what cannot be told from the answer, so whatever uses this is still a function of its input.

use std::{
    panic::resume_unwind,
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What is worked out at once for one caller. There may be as many callers as processors.
const MOST: usize = 4;

static PROCESSORS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from).min(MOST));

/// What `then` makes of what `first` made of the items, in their order. In two parts, so that all end at about the same
/// time. A panic is one of the caller.
///
/// Threads are started for each call, tens of microseconds each: that must be little beside the work.
pub fn map<T: Sync, M: Send, R: Send>(
    items: &[T],
    first: impl Fn(&T) -> M + Sync,
    then: impl Fn(&T, M) -> R + Sync,
) -> Vec<R> {
    map_on(*PROCESSORS, items, first, then)
}

fn map_on<T: Sync, M: Send, R: Send>(
    threads: usize,
    items: &[T],
    first: impl Fn(&T) -> M + Sync,
    then: impl Fn(&T, M) -> R + Sync,
) -> Vec<R> {
    let others = threads.min(items.len()).saturating_sub(1);
    if others == 0 {
        return items.iter().map(|item| then(item, first(item))).collect();
    }
    let next = AtomicUsize::new(0);
    let half_made = Mutex::new(Vec::new());
    let half_made = || half_made.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        let mut made = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if let Some(item) = items.get(place) {
                let half = first(item);
                half_made().push((place, item, half));
                continue;
            }
            let half = half_made().pop();
            // What another thread is still at it will see to by itself.
            let Some((place, item, half)) = half else { return made };
            made.push((place, then(item, half)));
        }
    };
    let mut made = thread::scope(|scope| {
        // Where no thread is to be had, this one does it all.
        let start = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (0..others).map_while(start).collect();
        let mut made = work();
        for other in others {
            made.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        made
    });
    made.sort_unstable_by_key(|(place, _)| *place);
    made.into_iter().map(|(_, made)| made).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, panic::catch_unwind, sync::Barrier};

    use super::*;

    #[test]
    fn what_is_made_is_in_the_order_of_the_items_on_any_number_of_threads() {
        let items: Vec<usize> = (0..100).collect();
        let wanted: Vec<usize> = items.iter().map(|item| item * 2 + item).collect();
        for threads in [0, 1, 2, 3, 200] {
            let made = map_on(threads, &items, |item| item * 2, |item, twice| twice + item);
            assert_eq!(made, wanted, "{threads}");
        }
        assert!(map(&Vec::<usize>::new(), |item| *item, |_, item| item).is_empty());
    }

    #[test]
    fn items_are_worked_on_at_the_same_time() {
        // Each waits for the others: in one thread this would never end.
        let all = Barrier::new(3);
        let here = || {
            all.wait();
            format!("{:?}", thread::current().id())
        };
        let by = map_on(3, &[(), (), ()], |()| here(), |(), first| (first, here()));
        let (first, then): (BTreeSet<_>, BTreeSet<_>) = by.into_iter().unzip();
        assert_eq!((first.len(), then.len()), (3, 3));
    }

    #[test]
    fn a_panic_in_either_part_is_that_of_the_caller() {
        let fails = |item: &i32| assert!(*item < 0, "item {item}");
        let first = || map_on(2, &[1, 2, 3, 4], fails, |_, ()| ());
        let then = || map_on(2, &[1, 2, 3, 4], |_| (), |item, ()| fails(item));
        for panic in [catch_unwind(first), catch_unwind(then)] {
            let panic = panic.unwrap_err();
            assert!(panic.downcast::<String>().unwrap().starts_with("item "));
        }
    }
}
