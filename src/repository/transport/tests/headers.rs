//! What a hostile server writes into its answers, and what names are, ends up in no other line of a request.

use std::sync::Mutex;

use super::*;

/// The heads of the requests that came, byte for byte.
type Heads = Arc<Mutex<Vec<String>>>;

/// A server that gives one answer to each request of a connection, and keeps what it was asked.
async fn recording(answer: Vec<u8>) -> (String, Heads) {
    let heads = Heads::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let kept = heads.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (kept, answer) = (kept.clone(), answer.clone());
            tokio::spawn(async move {
                let mut head = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if head.ends_with(b"\r\n\r\n") {
                        // One character for each byte.
                        kept.lock().unwrap().push(head.drain(..).map(char::from).collect());
                        let _ = stream.write_all(&answer).await;
                    }
                }
            });
        }
    });
    (url, heads)
}

/// The lines of a head, and that they are those of one request without anything that nobody meant to say.
fn lines(head: &str) -> Vec<&str> {
    let lines: Vec<&str> = head.strip_suffix("\r\n\r\n").unwrap().split("\r\n").collect();
    assert!(!head.contains('\0') && lines.iter().all(|line| !line.contains(['\r', '\n'])), "{head:?}");
    let meant = ["host", "accept", "user-agent", "if-none-match"];
    for line in &lines[1..] {
        let (name, _) = line.split_once(':').unwrap();
        assert!(meant.contains(&name.to_ascii_lowercase().as_str()), "{head:?}");
    }
    assert!(lines[0].starts_with("GET /") && lines[0].ends_with(" HTTP/1.1"), "{head:?}");
    assert_eq!(lines[0].split(' ').count(), 3, "{head:?}");
    lines
}

#[tokio::test]
async fn an_entity_tag_comes_back_as_one_value_and_brings_nothing_with_it() {
    for (tag, comes_back) in [
        (&b"\"v1\""[..], true),
        (b"\"a\"; x-evil: 1", true),
        (b"\"%0d%0ax-evil: 1\"", true),
        (b"\"\\r\\nx-evil: 1\"", true),
        (b"\"\x80\xff\xc3\xa9\"", true),
        (b"\"a\tb\"", true),
        (b"\"a\"\r\nx-evil: 1", true),
        (b"\"a\"\r\n x-evil: 1", false),
        (b"\"a\rx-evil: 1\"", false),
        (b"\"a\nx-evil: 1\"", true),
        (b"\"a\0\"", false),
        (b"\"a\x7f\"", false),
        (&[b'x'; 257], false),
    ] {
        let answer = [b"HTTP/1.1 200 OK\r\netag: ", tag, b"\r\ncontent-length: 2\r\n\r\n{}"].concat();
        let (url, heads) = recording(answer).await;
        let transport = open(&url);
        for _ in 0..2 {
            // An answer that is no HTTP is none.
            drop(transport.fetch(&metadata("timestamp.json", 9), later()).await);
        }
        let heads = heads.lock().unwrap();
        let all: Vec<Vec<&str>> = heads.iter().map(|head| lines(head)).collect();
        let with_tag = |lines: &Vec<&str>| {
            lines.iter().filter(|line| line.to_ascii_lowercase().starts_with("if-none-match")).count()
        };
        let times: usize = all.iter().map(with_tag).sum();
        assert_eq!(times, usize::from(comes_back), "{:?}: {heads:?}", String::from_utf8_lossy(tag));
    }
}

#[tokio::test]
async fn no_other_header_of_an_answer_is_heeded() {
    let answer = "HTTP/1.1 200 OK\r\nset-cookie: session=evil; path=/\r\nlink: </evil>; rel=\"next\"\r\nrefresh: 0; url=/evil\r\n\
                  content-location: /evil\r\nalt-svc: h2=\"evil.example:443\"\r\nwww-authenticate: Basic realm=\"evil\"\r\n\
                  content-type: text/html; charset=\"\x01\r\nkeep-alive: timeout=99999999\r\ncontent-length: 2\r\n\r\n{}";
    let (url, heads) = recording(answer.replace('\x01', "utf-7").into_bytes()).await;
    let transport = open(&url);
    for _ in 0..2 {
        assert_eq!(transport.fetch(&metadata("root.json", 9), later()).await.unwrap(), b"{}");
    }
    let heads = heads.lock().unwrap();
    for head in heads.iter() {
        assert!(!lines(head).iter().any(|line| line.contains("evil")), "{head:?}");
    }
    assert_eq!((heads.len(), &heads[0]), (2, &heads[1]));
}

#[tokio::test]
async fn where_a_redirect_leads_is_one_line_of_one_request() {
    for path in [
        &b"/blob?x=%0d%0ax-evil:%201"[..],
        b"/%0d%0a%0d%0aGET%20/evil%20HTTP/1.1",
        b"/blob\tx-evil: 1",
        b"/blob HTTP/1.1\r\nx-evil: 1",
        b"/bl\xc3\xb6b#fragment",
        b"/../../blob",
        b"/\x80\xff",
    ] {
        let (blobs, heads) = recording(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()).await;
        let location = [b"HTTP/1.1 307 There\r\nlocation: ", blobs.as_bytes(), path].concat();
        let url = answering([&location[..], b"\r\ncontent-length: 0\r\n\r\n"].concat()).await;
        // Whatever came of it.
        drop(following(&url, &blobs, None).fetch(&metadata("root.json", 999), later()).await);
        let heads = heads.lock().unwrap();
        assert!(heads.len() <= 1, "{heads:?}");
        for head in heads.iter() {
            assert!(!lines(head)[1..].iter().any(|line| line.contains("evil")), "{head:?}");
        }
    }
    // Its host is named, whatever else is in it.
    let url = redirecting("http://evil.example\t.other/\x1b[31m?secret").await;
    let why = unreachable(fetch(&url, "root.json", 9).await);
    assert!(!why.contains(['\x1b', '\t', '\n']) && !why.contains("secret"), "{why:?}");
}

#[tokio::test]
async fn a_name_is_part_of_the_request_line_or_is_not_asked_for() {
    let names = [
        "a\r\nx-evil: 1",
        "a HTTP/1.1\r\nhost: evil.example\r\n\r\n",
        "a\0b",
        "a b",
        "a\tb",
        "a\u{85}b\u{2028}c",
        "\u{e4}\u{1f6a2}\u{202e}",
        "a%0d%0ax-evil:%201",
        "a%00b",
        "a%2f..%2f..%2fetc",
        "http://evil.example/a",
        "//evil.example/a",
        "@evil.example",
        "a?x=1",
        "a#b",
        "../a",
        "%2e%2e/a",
        "a\\b",
    ];
    for (base, folder) in [(FetchBase::Metadata, "metadata"), (FetchBase::Targets, "targets")] {
        for name in names {
            let (url, heads) = recording(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()).await;
            let request = FetchRequest { base, path: name.to_owned(), max_bytes: 9 };
            let answer = open(&url).fetch(&request, later()).await;
            let heads = heads.lock().unwrap();
            assert_eq!(heads.len(), usize::from(answer.is_ok()), "{name:?}: {answer:?}");
            for head in heads.iter() {
                let lines = lines(head);
                assert!(lines[0].starts_with(&format!("GET /{folder}/")), "{head:?}");
                assert!(lines[0].is_ascii() && !lines[1..].iter().any(|line| line.contains("evil")), "{head:?}");
            }
        }
    }
}
