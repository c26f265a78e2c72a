//! Each rule of belief with the attack that it closes. In most of them the thief holds every online key.

mod attacks;
mod binding;
mod files;
mod fixture;
mod inspections;
mod layouts;
mod others;
mod platforms;
mod predicates;
mod statements;
mod thefts;
mod wiring;
