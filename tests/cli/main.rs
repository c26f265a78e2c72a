//! The command line as a user has it: the program itself, in a folder of its own.

#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "tests start processes and read files")]

mod audit;
mod book;
mod builds;
mod bundle;
mod demo;
mod documents;
mod faults;
mod files;
mod hosted;
mod inspections;
mod mirrors;
mod openpgp;
mod pages;
mod policy;
mod registry;
mod releases;
mod security;
mod serve;
mod serving;
mod shell;
mod sources;
mod support;
mod tuf;
