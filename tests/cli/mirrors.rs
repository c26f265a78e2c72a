//! A repository of which the origin is gone and copies are left.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use crate::support::{Ran, run};

const IMAGE: &str = "registry.example/shop/api:1.0";

/// The demonstration's folder, with its policy for a repository at these places.
fn policy(dir: &Path, url: &str, mirrors: &[String]) -> PathBuf {
    let text = fs::read_to_string(dir.join("kept/policy.yaml")).unwrap();
    let origin = text.lines().find(|line| line.trim_start().starts_with("url: ")).unwrap();
    let text = text.replace(origin, &format!("    url: {url}\n    mirrors: {mirrors:?}"));
    let path = dir.join("kept/mirrored.yaml");
    fs::write(&path, text).unwrap();
    path
}

fn verify(dir: &Path, policy: &Path, more: &[&str]) -> Ran {
    run(dir, &[&["verify", "--policy", policy.to_str().unwrap()], more, &[IMAGE]].concat())
}

/// Connections, and the paths that were asked for.
type Notes = Arc<Mutex<(usize, Vec<String>)>>;

/// A web server over a folder that notes what it is asked, and on how many connections.
fn served(folder: PathBuf) -> (String, Notes) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let notes = Notes::default();
    let shared = notes.clone();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            shared.lock().unwrap().0 += 1;
            let (folder, notes) = (folder.clone(), shared.clone());
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                while let Some(request) = lines.next() {
                    while lines.next().is_some_and(|line| !line.is_empty()) {}
                    let path = request.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
                    let (status, body) = match fs::read(folder.join(&path)) {
                        Ok(body) => ("200 OK", body),
                        // As servers do it. Of an answer without a body the client cannot tell when it is over.
                        Err(_) => ("404 Not Found", b"not found\n".to_vec()),
                    };
                    notes.lock().unwrap().1.push(path);
                    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
                    let _ = (&stream).write_all(&[head.as_bytes(), &body].concat());
                }
            });
        }
    });
    (url, notes)
}

#[test]
fn an_image_is_verified_from_whichever_copy_is_left_and_from_none_is_an_outage() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap();
    assert_eq!(run(&dir, &["demo", "--keep", "kept"]).code, Some(0));
    let copy = format!("file://{}/kept/repository", dir.display());
    // Bound, so that nobody else is given it, and listening to nothing.
    let dead = tokio::net::TcpSocket::new_v4().unwrap();
    dead.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let gone = format!("http://{}", dead.local_addr().unwrap());

    let ran = verify(&dir, &policy(&dir, &gone, &[format!("file://{}/nowhere", dir.display()), copy]), &[]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let ran = verify(&dir, &policy(&dir, &gone, &[format!("{gone}/copy")]), &[]);
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("[tuf/unreachable]"), "{}{}", ran.out, ran.err);
}

#[test]
fn a_refresh_that_finds_nothing_new_asks_twice_on_one_connection() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap();
    assert_eq!(run(&dir, &["demo", "--keep", "kept"]).code, Some(0));
    let (url, notes) = served(dir.join("kept/repository"));
    let (other, others) = served(dir.join("kept/repository"));
    let policy = policy(&dir, &url, &[other]);
    let ran = verify(&dir, &policy, &["--state", "state"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let (connections, asked) = std::mem::take(&mut *notes.lock().unwrap());
    assert!(asked.len() > 8, "{asked:?}");
    // Roles and target files may be asked for at the same time.
    assert!(connections <= asked.len() / 2, "{connections} connections for {asked:?}");
    // The other one is asked whether there is a newer root, and nothing else.
    let root = asked[0].clone();
    assert_eq!(*others.lock().unwrap(), (1, vec![root.clone()]));

    let ran = verify(&dir, &policy, &["--state", "state"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert_eq!(*notes.lock().unwrap(), (1, vec![root, "metadata/timestamp.json".to_owned()]));
}
