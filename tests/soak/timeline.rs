//! The states that something had, and which of them an answer may rest on.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

/// States in their order, each from when it may have been seen first until its successor was seen by everybody.
pub(crate) struct Timeline<T> {
    states: Mutex<Vec<State<T>>>,
}

struct State<T> {
    value: Arc<T>,
    /// When it began to be written. Nobody saw it before.
    began: Instant,
    /// When it was known to be in force. Nobody who comes later sees what was before.
    settled: Option<Instant>,
}

impl<T> Timeline<T> {
    /// One that begins with a state that is in force.
    pub(crate) fn of(value: T) -> Self {
        let now = Instant::now();
        let first = State { value: Arc::new(value), began: now, settled: Some(now) };
        Self { states: Mutex::new(vec![first]) }
    }

    /// The next state is about to be written.
    pub(crate) fn begins(&self, value: T) {
        self.states.lock().unwrap().push(State { value: Arc::new(value), began: Instant::now(), settled: None });
    }

    /// The last state is in force.
    pub(crate) fn settles(&self) {
        self.states.lock().unwrap().last_mut().unwrap().settled = Some(Instant::now());
    }

    /// How many states were in force so far.
    pub(crate) fn settled(&self) -> usize {
        self.states.lock().unwrap().iter().filter(|state| state.settled.is_some()).count()
    }

    /// What an answer may rest on that was asked for at one time and given at another.
    pub(crate) fn between(&self, asked: Instant, answered: Instant) -> Vec<Arc<T>> {
        let states = self.states.lock().unwrap();
        let first = states.iter().rposition(|state| state.settled.is_some_and(|settled| settled <= asked)).unwrap_or(0);
        let possible = states.iter().skip(first).take_while(|state| state.began <= answered);
        possible.map(|state| state.value.clone()).collect()
    }
}

#[test]
fn an_answer_in_flight_may_rest_on_the_state_before_and_after_and_a_later_one_on_the_last_alone() {
    let timeline = Timeline::of(1);
    let before = Instant::now();
    timeline.begins(2);
    let during = Instant::now();
    timeline.settles();
    let after = Instant::now();
    let between = |asked, answered| timeline.between(asked, answered).iter().map(|state| **state).collect::<Vec<_>>();
    assert_eq!(between(before, before), [1]);
    assert_eq!(between(before, during), [1, 2]);
    assert_eq!(between(during, after), [1, 2]);
    assert_eq!(between(after, Instant::now()), [2]);
}
