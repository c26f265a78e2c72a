//! `helm`, for what it renders.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;

use super::tools::tool;

/// The chart.
pub(crate) fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/pratique")
}

fn program() -> &'static str {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| tool("helm.sh", &[]).pop().unwrap());
    &PROGRAM
}

/// What the chart renders as the release `name` in a namespace, with its example values and then `values` (as after
/// `--set`), hooks included; or what helm says.
pub(crate) fn template(name: &str, namespace: &str, values: &[&str]) -> Result<Vec<Value>, String> {
    template_without_example(name, namespace, &[&["--values", "examples/values.yaml"], &sets(values)[..]].concat())
}

/// The same with nothing but these arguments.
pub(crate) fn template_without_example(name: &str, namespace: &str, args: &[&str]) -> Result<Vec<Value>, String> {
    let mut helm = Command::new(program());
    helm.args(["template", name, ".", "--namespace", namespace]).args(args).current_dir(chart());
    let output = helm.output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let objects: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap();
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}

fn sets<'a>(values: &[&'a str]) -> Vec<&'a str> {
    values.iter().flat_map(|value| ["--set", *value]).collect()
}

/// The one object of a kind and a name.
pub(crate) fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found: Vec<_> =
        objects.iter().filter(|object| object["kind"] == kind && object["metadata"]["name"] == name).collect();
    let [one] = found.as_slice() else { panic!("{} objects {kind} {name}", found.len()) };
    one
}
