//! Layers as hostile writers make them.

use std::{io::Write as _, sync::Arc};

use flate2::{Compression, write::GzEncoder};

use super::*;
use crate::image::Descriptor;

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// One entry of an archive: kind, name, where it leads, content.
pub(crate) fn entry(kind: u8, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    raw(kind, name.as_bytes(), link.as_bytes(), content.len(), content)
}

fn raw(kind: u8, name: &[u8], link: &[u8], size: usize, content: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[329..337].copy_from_slice(b"0000001\0");
    block[337..345].copy_from_slice(b"0000003\0");
    block.extend_from_slice(content);
    block.resize(block.len().next_multiple_of(512), 0);
    sealed(block)
}

/// The header with its checksum.
fn sealed(mut block: Vec<u8>) -> Vec<u8> {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block[..512].iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

pub(crate) fn file(name: &str, content: &str) -> Vec<u8> {
    entry(b'0', name, "", content.as_bytes())
}

/// A file whose name does not fit into a header.
pub(crate) fn long_file(name: &str) -> Vec<u8> {
    [pax(&[("path", name)]), file("short", "")].concat()
}

fn folder(name: &str) -> Vec<u8> {
    entry(b'5', name, "", b"")
}

fn symlink(name: &str, target: &str) -> Vec<u8> {
    entry(b'2', name, target, b"")
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length =
            (1..).map(|digits| rest + digits).find(|length| length.to_string().len() == length - rest).unwrap();
        text += &format!("{length} {key}={value}\n");
    }
    entry(b'x', "pax", "", text.as_bytes())
}

pub(crate) fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), digest: Sha256::of(bytes), size: bytes.len() as u64 }
}

fn read_blob(media_type: &str, bytes: &[u8]) -> Result<Layer, Unread> {
    read(&descriptor(media_type, bytes), bytes, &Limits::default())
}

fn layer(entries: &[Vec<u8>]) -> Arc<Layer> {
    Arc::new(read_blob(TAR, &archive(entries)).unwrap())
}

fn fault(entries: &[Vec<u8>]) -> String {
    match read_blob(TAR, &archive(entries)) {
        Err(Unread::Fault(fault)) => fault.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The files of an image, each as `name=content`, where the content is one of these words.
fn image(layers: &[&[Vec<u8>]]) -> Vec<String> {
    together(layers).unwrap()
}

fn together(layers: &[&[Vec<u8>]]) -> Result<Vec<String>, LayerFault> {
    let layers: Vec<Arc<Layer>> = layers.iter().map(|entries| layer(entries)).collect();
    let known = ["", "1", "2", "3", "app"];
    let files = files(&layers, &Limits::default())?;
    let shown = files.into_iter().map(|(name, digest)| {
        let content =
            digest.map_or("none", |digest| known.iter().find(|text| Sha256::of(text.as_bytes()) == digest).unwrap());
        format!("{name}={content}")
    });
    Ok(shown.collect())
}

#[test]
fn a_layer_is_read_however_it_is_packed() {
    let bytes = archive(&[folder("usr/"), folder("./"), file("./usr/app", "app"), file("/etc/a", "1")]);
    let zstd = ruzstd::encoding::compress_to_vec(&bytes[..], ruzstd::encoding::CompressionLevel::Fastest);
    let split = [gzip(&bytes[..700]), gzip(&bytes[700..])].concat();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd].concat();
    let plain = read_blob(TAR, &bytes).unwrap();
    for (media_type, packed) in [(GZIP, gzip(&bytes)), (GZIP, split), (ZSTD, zstd.clone()), (ZSTD, skippable)] {
        assert_eq!(read_blob(media_type, &packed).unwrap(), plain, "{media_type}");
    }
    let files = files(&[Arc::new(plain)], &Limits::default()).unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["etc/a", "usr/app"]);
    assert_eq!(files["usr/app"], Some(Sha256::of(b"app")));

    // Runtimes look at the bytes, not at the media type.
    for (media_type, packed) in [(TAR, gzip(&bytes)), (GZIP, bytes.clone()), (GZIP, zstd), (ZSTD, gzip(&bytes))] {
        assert!(matches!(read_blob(media_type, &packed), Err(Unread::Fault(LayerFault::Packing { .. }))));
    }
    for other in ["application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.in-toto+json"] {
        assert!(matches!(read_blob(other, &bytes), Err(Unread::Fault(LayerFault::MediaType(_)))));
    }
}

#[test]
fn a_blob_with_other_bytes_is_refused_whatever_is_in_it() {
    let (good, evil) = (gzip(&archive(&[file("app", "app")])), gzip(&archive(&[file("app", "1")])));
    let wanted = descriptor(GZIP, &good);
    for blob in [evil, b"no archive".to_vec(), good[..good.len() - 1].to_vec(), [&good[..], b"x"].concat(), Vec::new()]
    {
        let found = read(&wanted, &blob[..], &Limits::default());
        assert!(matches!(found, Err(Unread::Fault(LayerFault::Mismatch { .. }))), "{found:?}");
    }
    assert!(read(&wanted, &good[..], &Limits::default()).is_ok());
    // As many bytes, and as good an archive.
    let [one, other] = ["app", "ppa"].map(|content| archive(&[file("app", content)]));
    assert_eq!(one.len(), other.len());
    let found = read(&descriptor(TAR, &one), &other[..], &Limits::default());
    assert!(matches!(found, Err(Unread::Fault(LayerFault::Mismatch { .. }))), "{found:?}");
    let short = Descriptor { size: wanted.size - 1, ..wanted.clone() };
    assert!(matches!(read(&short, &good[..], &Limits::default()), Err(Unread::Fault(LayerFault::Mismatch { .. }))));

    /// Breaks off after some bytes.
    struct Broken<'a>(&'a [u8]);
    impl std::io::Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(std::io::Error::other("reset by peer")),
                read => Ok(read),
            }
        }
    }
    let found = read(&wanted, Broken(&good[..20]), &Limits::default());
    assert_eq!(found, Err(Unread::Source("reset by peer".to_owned())));
}

#[test]
fn layers_hide_what_is_below_them_and_nothing_of_their_own() {
    let base: &[Vec<u8>] = &[file("etc/a", "1"), file("etc/b", "1"), file("opt/x/y", "1"), file("top", "1")];
    assert_eq!(image(&[base, &[file("etc/.wh.a", ""), file("opt/.wh.x", "")]]), ["etc/b=1", "top=1"]);
    assert_eq!(
        image(&[base, &[file("etc/a", "2"), file("etc/.wh.a", "")]]),
        ["etc/a=2", "etc/b=1", "opt/x/y=1", "top=1"]
    );
    assert_eq!(image(&[base, &[file("etc/c", "2"), file("etc/.wh..wh..opq", "")]]), ["etc/c=2", "opt/x/y=1", "top=1"]);
    assert_eq!(image(&[base, &[file(".wh..wh..opq", ""), file("new", "2")]]), ["new=2"]);
    assert_eq!(image(&[base, &[file(".wh.etc", "")], &[file("etc/d", "3")]]), ["etc/d=3", "opt/x/y=1", "top=1"]);
    // In place of a folder, and the other way round.
    assert_eq!(image(&[base, &[file("etc", "2")]]), ["etc=2", "opt/x/y=1", "top=1"]);
    assert_eq!(image(&[base, &[folder("top"), file("top/a", "2")]]), ["etc/a=1", "etc/b=1", "opt/x/y=1", "top/a=2"]);
    assert_eq!(image(&[base, &[folder("etc")]]).len(), 4);
    for (name, why) in [
        (".wh.", "of nothing"),
        ("a/.wh...", "of nothing"),
        (".wh..wh.plnk", "of nothing"),
        (".wh.a/b", "below a whiteout"),
    ] {
        assert!(fault(&[file(name, "")]).contains(why), "{name}: {}", fault(&[file(name, "")]));
    }
    assert!(fault(&[file("a/.wh.b", "1")]).contains("no empty file"));
    assert!(fault(&[folder("a/.wh.b")]).contains("no empty file"));
}

#[test]
fn links_have_the_digest_of_the_file_that_they_lead_to_within_the_image() {
    let files = image(&[&[
        file("usr/bin/app", "app"),
        folder("bin"),
        symlink("bin/app", "../usr/bin/app"),
        symlink("bin/abs", "/usr/bin/app"),
        symlink("bin/out", "../../../../usr/bin/app"),
        symlink("bin/chain", "abs"),
        symlink("sbin", "usr/bin"),
        symlink("through", "sbin/app"),
        symlink("broken", "/etc/passwd"),
        symlink("loop", "loop"),
        symlink("behind", "usr/bin/app/x"),
        entry(b'1', "hard", "usr/bin/app", b""),
        entry(b'6', "pipe", "", b""),
        entry(b'3', "device", "", b""),
    ]]);
    let wanted = [
        "behind=none",
        "bin/abs=app",
        "bin/app=app",
        "bin/chain=app",
        "bin/out=app",
        "broken=none",
        "device=none",
        "hard=app",
        "loop=none",
        "pipe=none",
        "sbin=none",
        "through=app",
        "usr/bin/app=app",
    ];
    assert_eq!(files, wanted);
    // A hard link to the layer below keeps what was there.
    let base: &[Vec<u8>] = &[file("a", "1")];
    assert_eq!(image(&[base, &[entry(b'1', "b", "a", b"")], &[file("a", "2")]]), ["a=2", "b=1"]);
    for entries in [
        vec![entry(b'1', "b", "a", b""), file("a", "2")],
        vec![entry(b'1', "b", "b", b"")],
        vec![folder("a"), entry(b'1', "b", "a", b"")],
        vec![entry(b'1', "b", "../a", b"")],
        vec![entry(b'1', "b", "", b"")],
        vec![symlink("b", "")],
    ] {
        fault(&entries);
    }
    assert!(together(&[base, &[entry(b'1', "b", "nothing", b"")]]).is_err());
    assert!(together(&[base, &[file(".wh.a", ""), entry(b'1', "b", "a", b"")]]).is_err());
}

#[test]
fn nothing_is_unpacked_through_a_link() {
    let base: &[Vec<u8>] = &[folder("usr/bin"), symlink("bin", "usr/bin"), file("file", "1")];
    for entries in [
        vec![file("bin/app", "2")],
        vec![file("bin/.wh.app", "")],
        vec![file("bin/.wh..wh..opq", "")],
        vec![file("file/app", "2")],
    ] {
        let fault = together(&[base, &entries]).unwrap_err().to_string();
        assert!(fault.contains("no folder") || fault.contains("a link in the layer below"), "{fault}");
    }
    assert!(together(&[&[symlink("a", "/tmp"), file("a/b", "1")]]).is_err());
    assert!(together(&[&[file("a/b", "1"), symlink("a", "/tmp")]]).is_err());
    // Made anew as a folder it is one.
    assert_eq!(image(&[base, &[folder("bin"), file("bin/app", "2")]]), ["bin/app=2", "file=1"]);
}

#[test]
fn names_stay_within_the_image_and_have_one_form() {
    for (name, why) in [
        ("../etc/passwd", "leads out"),
        ("a/../../b", "leads out"),
        ("/../b", "leads out"),
        ("a//b", "empty segment"),
        ("a/./b", "or a dot"),
        ("", "empty segment"),
        ("a/", "no folder"),
    ] {
        assert!(fault(&[file(name, "1")]).contains(why), "{name}: {}", fault(&[file(name, "1")]));
    }
    assert!(fault(&[symlink(".", "a")]).contains("root"));
    assert!(fault(&[raw(b'0', b"\xff", b"", 0, b"")]).contains("UTF-8"));
    for other in ["a", "./a", "/a"] {
        assert!(fault(&[file("a", "1"), file(other, "2")]).contains("twice"), "{other}");
        assert!(fault(&[file("a", "1"), folder(other)]).contains("twice"), "{other}");
    }
    layer(&[folder("a"), folder("./a/"), file("a/b", "1")]);
}

#[test]
fn an_archive_that_two_readers_could_read_differently_is_refused() {
    let long = "d/".repeat(60) + "app";
    let read =
        |entries: &[Vec<u8>]| files(&[layer(entries)], &Limits::default()).unwrap().into_keys().collect::<Vec<_>>();
    let gnu = |kind, name: &str| {
        let mut bytes = entry(kind, "././@LongLink", "", format!("{name}\0").as_bytes());
        bytes[257..265].copy_from_slice(b"ustar  \0");
        sealed(bytes)
    };
    assert_eq!(read(&[pax(&[("path", &long), ("mtime", "1.5")]), file("short", "1")]), [long.as_str()]);
    assert_eq!(read(&[gnu(b'L', &long), file("short", "1")]), [long.as_str()]);
    // The size in pax counts, and so where the next header is.
    let mut zero = file("a", "1");
    zero[124..136].copy_from_slice(b"00000000000\0");
    let zero = sealed(zero);
    assert_eq!(read(&[pax(&[("size", "1")]), zero, file("b", "1")]), ["a", "b"]);

    let mut prefixed = file("app", "1");
    prefixed[345..348].copy_from_slice(b"usr");
    assert_eq!(read(&[sealed(prefixed)]), ["usr/app"]);

    let mut other = file("a", "1");
    other[257..265].fill(0);
    let mut wrong = file("a", "1");
    wrong[0] = b'b';
    let mut negative = file("a", "1");
    negative[124..136].fill(0xff);
    for (entries, why) in [
        (vec![sealed(other)], "neither of ustar nor of GNU"),
        (vec![wrong], "checksum"),
        (vec![sealed(negative)], "no number"),
        (vec![pax(&[("path", "a")]), pax(&[("path", "b")]), file("c", "1")], "two extended headers"),
        (vec![pax(&[("path", "a")]), gnu(b'L', "b"), file("c", "1")], "two kinds"),
        (vec![gnu(b'L', "a"), gnu(b'L', "b"), file("c", "1")], "two extended headers"),
        (vec![pax(&[("path", "a"), ("path", "b")]), file("c", "1")], "twice"),
        (vec![pax(&[("path", "a\0b")]), file("c", "1")], "list of records"),
        (vec![entry(b'x', "pax", "", b"99 path=a\n"), file("c", "1")], "list of records"),
        (vec![pax(&[("GNU.sparse.size", "9")]), file("c", "1")], "GNU.sparse"),
        (vec![pax(&[("SCHILY.xattr.trusted.overlay.opaque", "y")]), folder("c")], "overlay"),
        (vec![pax(&[("path", "a")])], "no entry behind"),
        (vec![entry(b'g', "pax", "", b"9 path=a\n")], "its kind has none"),
        (vec![entry(b'S', "a", "", b"")], "not read"),
        (vec![entry(b'7', "a", "", b"")], "not read"),
        (vec![raw(b'2', b"a", b"b", 512, &[0; 512])], "its kind has none"),
        (vec![raw(b'0', b"a", b"", 4096, b"")], "within a file"),
    ] {
        assert!(fault(&entries).contains(why), "{why}: {}", fault(&entries));
    }
    let mut whiteout = entry(b'3', "a", "", b"");
    whiteout[329..345].copy_from_slice(b"0000000\x000000000\0");
    assert!(fault(&[sealed(whiteout)]).contains("another kind"));

    let behind = [archive(&[file("a", "1")]), file("b", "1")].concat();
    assert!(
        matches!(read_blob(TAR, &behind), Err(Unread::Fault(LayerFault::Malformed(why))) if why.contains("behind"))
    );
    let cut = &archive(&[file("a", "1")])[..800];
    assert!(matches!(read_blob(TAR, cut), Err(Unread::Fault(LayerFault::Malformed(_)))));
    for cut in [0, 1024] {
        assert!(read_blob(TAR, &archive(&[file("a", "1")])[..cut]).is_ok(), "an end without zeros is one");
    }
    let packed = gzip(&archive(&[file("a", "1")]));
    let garbage = [&packed[..], b"garbage"].concat();
    assert!(matches!(read_blob(GZIP, &garbage), Err(Unread::Fault(LayerFault::Malformed(_)))));
}

#[test]
fn what_is_too_much_ends_in_a_refusal() {
    let limited = |bytes: &[u8], limits: &Limits| match read(&descriptor(GZIP, bytes), bytes, limits) {
        Err(Unread::Fault(LayerFault::Limit { what, .. })) => what,
        other => panic!("{other:?}"),
    };
    let default = Limits::default();
    // A bomb: 8 MiB of zeros in a few KiB.
    let bomb = gzip(&archive(&[entry(b'0', "zeros", "", &vec![0; 8 << 20])]));
    assert!(bomb.len() < 64 << 10);
    assert_eq!(limited(&bomb, &Limits { bytes: 1 << 20, ..default.clone() }), "bytes unpacked");
    // And one behind the end of the archive.
    let behind = gzip(&[archive(&[]), vec![0; 8 << 20]].concat());
    assert_eq!(limited(&behind, &Limits { bytes: 1 << 20, ..default.clone() }), "bytes unpacked");
    assert_eq!(limited(&bomb, &Limits { blob_bytes: 1 << 10, ..default.clone() }), "bytes of blobs");

    let many = gzip(&archive(&(0..100).map(|at| file(&format!("f{at}"), "")).collect::<Vec<_>>()));
    assert_eq!(limited(&many, &Limits { entries: 99, ..default.clone() }), "entries");
    assert_eq!(limited(&many, &Limits { all_name_bytes: 200, ..default.clone() }), "bytes of names");
    let long = gzip(&archive(&[pax(&[("path", &"a".repeat(5000))]), file("a", "")]));
    assert_eq!(limited(&long, &default), "bytes of a name");
    let deep = gzip(&archive(&[pax(&[("path", &"a/".repeat(200))]), folder("a")]));
    assert_eq!(limited(&deep, &default), "folders above a file");
    let header = gzip(&archive(&[raw(b'x', b"pax", b"", 2 << 20, &vec![0; 2 << 20]), file("a", "")]));
    assert_eq!(limited(&header, &default), "bytes of an extended header");

    // Together, and where links make work.
    let layers = [layer(&[file("a", "1")]), layer(&[file("b", "1")])];
    assert!(matches!(files(&layers, &Limits { entries: 1, ..default.clone() }), Err(LayerFault::Limit { .. })));
    assert!(matches!(files(&layers, &Limits { bytes: 2048, ..default.clone() }), Err(LayerFault::Limit { .. })));
    let links = layer(&(0..50).map(|at| symlink(&format!("l{at}"), &"x/".repeat(40))).collect::<Vec<_>>());
    assert!(matches!(files(&[links], &Limits { link_steps: 1000, ..default }), Err(LayerFault::Limit { .. })));
}

#[test]
fn a_million_entries_are_not_read() {
    /// Makes an archive of empty files without end.
    struct Endless(u32, Vec<u8>);
    impl std::io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.1.is_empty() {
                self.1 = file(&format!("{}", self.0), "");
                self.0 += 1;
            }
            let length = buffer.len().min(self.1.len());
            buffer[..length].copy_from_slice(&self.1[..length]);
            self.1.drain(..length);
            Ok(length)
        }
    }
    let mut source = Endless(0, Vec::new());
    let found = tar::read(&mut source, &Limits::default());
    assert_eq!(found, Err(LayerFault::Limit { what: "entries", limit: 200_000 }));
    assert!(source.0 <= 200_002);
}
