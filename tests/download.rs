//! Published data sets are fetched whole or not at all, whatever the server does.

#![cfg(feature = "download")]
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use cnn_tb::data::{
    Dataset, DownloadError, DownloadProgress, Patience, Published, PublishedFile, download,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
];

/// Tests do not wait long.
const PATIENCE: Patience = Patience {
    silence: Duration::from_secs(5),
    attempts: 3,
    pause: Duration::from_millis(10),
};

/// 24 training and 12 test images of 4 × 4 random pixels, of two classes: four files, compressed.
fn files() -> [Vec<u8>; 4] {
    let idx = |dimensions: &[u32], data: Vec<u8>| {
        let words = [&[0x0800 + dimensions.len() as u32], dimensions].concat();
        let header = words.iter().flat_map(|word| word.to_be_bytes());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder
            .write_all(&header.chain(data).collect::<Vec<u8>>())
            .unwrap();
        encoder.finish().unwrap()
    };
    let images = |count: u32| {
        let pixel = |index: u32| (index.wrapping_mul(2_654_435_761) >> 24) as u8;
        idx(&[count, 4, 4], (0..16 * count).map(pixel).collect())
    };
    let labels = |count: u32| {
        idx(
            &[count],
            (0..count).map(|image| (image % 2) as u8).collect(),
        )
    };
    [images(24), labels(24), images(12), labels(12)]
}

/// What a server does with a connection: the name of the file that it was asked for, how many
/// requests came before, the connection.
type Answer = dyn Fn(&str, usize, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// A server on this machine, and the data set that it publishes.
struct Server {
    set: Published,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn new(
        answer: impl Fn(&str, usize, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let (counter, answer): (_, Arc<Answer>) = (Arc::clone(&requests), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
                let before = counter.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    let name = requested(&stream);
                    // The client may be gone, which is its right.
                    let _ = answer(&name, before, &mut stream);
                });
            }
        });
        Self {
            set: published(&files(), &format!("http://127.0.0.1:{port}/sets/")),
            requests,
        }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Downloads into `directory`; gives the result, and what was told of attempts that failed.
    fn download(&self, directory: &Path) -> (Result<(), DownloadError>, Vec<String>) {
        self.download_with(directory, PATIENCE)
    }

    fn download_with(
        &self,
        directory: &Path,
        patience: Patience,
    ) -> (Result<(), DownloadError>, Vec<String>) {
        let mut failures = Vec::new();
        let result = download(&self.set, directory, patience, |progress| match progress {
            DownloadProgress::Received { file, bytes } => assert!(bytes <= file.bytes),
            DownloadProgress::Failed { error, .. } => failures.push(error.to_string()),
        });
        (result, failures)
    }

    /// The error of a download in which nothing is left in place: its text, without the server's URL.
    #[track_caller]
    fn refused(&self, patience: Patience) -> String {
        let directory = tempfile::tempdir().unwrap();
        let (result, _) = self.download_with(directory.path(), patience);
        assert_eq!(names(directory.path()), [""; 0], "{result:?}");
        let error = result.unwrap_err().to_string();
        error.strip_prefix(self.set.base_url).unwrap().to_owned()
    }
}

fn published(files: &[Vec<u8>; 4], base_url: &str) -> Published {
    Published {
        name: "noise",
        title: "Noise",
        licence: "none",
        homepage: "",
        base_url: base_url.to_owned().leak(),
        image_size: (4, 4),
        class_names: &["even", "odd"],
        files: [0, 1, 2, 3].map(|index| {
            let digest = Sha256::digest(&files[index]);
            let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            PublishedFile {
                name: NAMES[index],
                bytes: files[index].len() as u64,
                sha256: sha256.leak(),
            }
        }),
    }
}

/// Reads a request; gives the name of the file.
fn requested(stream: &TcpStream) -> String {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let _ = lines.take_while(|line| !line.is_empty()).count();
    let path = first.split(' ').nth(1).unwrap_or_default();
    path.strip_prefix("/sets/").unwrap_or_default().to_owned()
}

fn content(name: &str) -> Vec<u8> {
    let index = NAMES.iter().position(|known| *known == name).unwrap();
    files()[index].clone()
}

fn head(stream: &mut TcpStream, status: &str, length: Option<usize>) -> std::io::Result<()> {
    let length = length.map_or(String::new(), |length| {
        format!("Content-Length: {length}\r\n")
    });
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{length}Connection: close\r\n\r\n"
    )
}

/// Answers as servers should.
fn serve(name: &str, stream: &mut TcpStream) -> std::io::Result<()> {
    let content = content(name);
    head(stream, "200 OK", Some(content.len()))?;
    stream.write_all(&content)
}

/// Announces all of a file and sends half of it.
fn serve_half(name: &str, stream: &mut TcpStream) -> std::io::Result<()> {
    let content = content(name);
    head(stream, "200 OK", Some(content.len()))?;
    stream.write_all(&content[..content.len() / 2])
}

/// The names in a directory, in order.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn holds_the_set(directory: &Path) -> bool {
    let mut expected = NAMES;
    expected.sort();
    names(directory) == expected
        && NAMES
            .iter()
            .all(|name| fs::read(directory.join(name)).unwrap() == content(name))
}

#[test]
fn what_is_missing_is_fetched_and_no_more() {
    let server = Server::new(|name, _, stream| serve(name, stream));
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("cache/noise");
    let mut last = Vec::new();
    download(
        &server.set,
        &directory,
        PATIENCE,
        |progress| match progress {
            DownloadProgress::Received { file, bytes: 0 } => last.push((file.name, 0)),
            DownloadProgress::Received { file, bytes } => {
                *last.last_mut().unwrap() = (file.name, bytes)
            }
            DownloadProgress::Failed { error, .. } => panic!("{error}"),
        },
    )
    .unwrap();
    assert!(holds_the_set(&directory));
    let expected = server
        .set
        .files
        .each_ref()
        .map(|file| (file.name, file.bytes));
    assert_eq!((server.requests(), last), (4, expected.to_vec()));
    let dataset = Dataset::published(&server.set, &directory).unwrap();
    assert_eq!((dataset.train().len(), dataset.test_len()), (22, 12));
    assert_eq!(dataset.class_names(), ["even", "odd"]);

    fs::remove_file(directory.join(NAMES[2])).unwrap();
    server.download(&directory).0.unwrap();
    assert!(holds_the_set(&directory));
    assert_eq!(server.requests(), 5);
}

#[test]
fn a_connection_that_is_cut_is_tried_again() {
    let server = Server::new(|name, before, stream| match before {
        1 => serve_half(name, stream),
        2 => Ok(()),
        _ => serve(name, stream),
    });
    let directory = tempfile::tempdir().unwrap();
    let (result, failures) = server.download(directory.path());
    result.unwrap();
    assert!(holds_the_set(directory.path()));
    assert_eq!((server.requests(), failures.len()), (6, 2), "{failures:?}");
    let labels = &server.set.files[1];
    let expected = format!(
        "cut off after {} of {} bytes: ",
        labels.bytes / 2,
        labels.bytes
    );
    assert!(failures[0].contains(&expected), "{failures:?}");
    assert!(
        failures
            .iter()
            .all(|failure| failure.starts_with(&server.set.url(labels)))
    );
}

#[test]
fn a_connection_that_is_always_cut_is_an_error() {
    let server = Server::new(|name, _, stream| serve_half(name, stream));
    let bytes = server.set.files[0].bytes;
    let error = server.refused(PATIENCE);
    let expected = format!(
        "{}: cut off after {} of {bytes} bytes: ",
        NAMES[0],
        bytes / 2
    );
    assert!(error.starts_with(&expected), "{error}");
    assert_eq!(server.requests(), 3);
}

/// What was fetched before stays, and is not asked for again.
#[test]
fn the_next_download_goes_on_with_the_file_that_failed() {
    let server = Server::new(|name, before, stream| match before {
        2 => head(stream, "404 Not Found", Some(0)),
        _ => serve(name, stream),
    });
    let directory = tempfile::tempdir().unwrap();
    server.download(directory.path()).0.unwrap_err();
    assert_eq!(names(directory.path()), [NAMES[0], NAMES[1]]);
    server.download(directory.path()).0.unwrap();
    assert!(holds_the_set(directory.path()));
    assert_eq!(server.requests(), 5);
}

#[test]
fn a_file_of_another_length_is_not_taken() {
    for (found, more) in [(1, 0), (0, 1)] {
        let server = Server::new(move |name, _, stream| {
            let mut content = content(name);
            content.resize(content.len() + more - found, 0);
            head(stream, "200 OK", Some(content.len()))?;
            stream.write_all(&content)
        });
        let expected = server.set.files[0].bytes;
        let found = expected + more as u64 - found as u64;
        let text =
            format!("{found} bytes, expected {expected}: this is not the file that was published");
        assert_eq!(server.refused(PATIENCE), format!("{}: {text}", NAMES[0]));
        assert_eq!(server.requests(), 1);
    }
}

/// A server may announce what it should and send more: that is not read.
#[test]
fn what_follows_the_announced_length_is_left_alone() {
    let server = Server::new(|name, _, stream| {
        serve(name, stream)?;
        stream.write_all(&[0; 1000])
    });
    let directory = tempfile::tempdir().unwrap();
    server.download(directory.path()).0.unwrap();
    assert!(holds_the_set(directory.path()));
}

#[test]
fn other_bytes_are_not_taken() {
    let server = Server::new(|name, _, stream| {
        let mut content = content(name);
        content[10] ^= 1;
        head(stream, "200 OK", Some(content.len()))?;
        stream.write_all(&content)
    });
    let mut other = content(NAMES[0]);
    other[10] ^= 1;
    let found: String = Sha256::digest(&other)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let expected = server.set.files[0].sha256;
    let text =
        format!("SHA-256 {found}, expected {expected}: this is not the file that was published");
    assert_eq!(server.refused(PATIENCE), format!("{}: {text}", NAMES[0]));
    assert_eq!(server.requests(), 1);
}

#[test]
fn a_body_without_an_end_is_cut() {
    for chunked in [false, true] {
        let server = Server::new(move |_, _, stream| {
            if chunked {
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                )?;
            } else {
                head(stream, "200 OK", None)?;
            }
            loop {
                let data = [0; 0x1000];
                if chunked {
                    write!(stream, "1000\r\n")?;
                }
                stream.write_all(&data)?;
                if chunked {
                    write!(stream, "\r\n")?;
                }
            }
        });
        let expected = server.set.files[0].bytes;
        let text = format!(
            "more than the {expected} bytes expected: this is not the file that was published"
        );
        assert_eq!(server.refused(PATIENCE), format!("{}: {text}", NAMES[0]));
        assert_eq!(server.requests(), 1);
    }
}

#[test]
fn a_server_that_announces_no_length_is_fine() {
    let server = Server::new(|name, _, stream| {
        head(stream, "200 OK", None)?;
        stream.write_all(&content(name))
    });
    let directory = tempfile::tempdir().unwrap();
    server.download(directory.path()).0.unwrap();
    assert!(holds_the_set(directory.path()));
}

#[test]
fn an_answer_that_may_pass_is_waited_for_and_another_is_not() {
    for (status, attempts) in [
        ("404 Not Found", 1),
        ("403 Forbidden", 1),
        ("503 Busy", 3),
        ("429 Slower", 3),
    ] {
        let server = Server::new(move |_, _, stream| head(stream, status, Some(0)));
        let number = &status[..3];
        let text = format!(
            "{}: the server answers with status {number}, expected 200",
            NAMES[0]
        );
        assert_eq!(server.refused(PATIENCE), text);
        assert_eq!(server.requests(), attempts, "{status}");
    }
    let server = Server::new(|name, before, stream| match before {
        0 => head(stream, "503 Busy", Some(0)),
        _ => serve(name, stream),
    });
    let directory = tempfile::tempdir().unwrap();
    server.download(directory.path()).0.unwrap();
    assert!(holds_the_set(directory.path()));
}

/// Before its answer and in the middle of it.
#[test]
fn a_silent_server_is_not_waited_for_for_ever() {
    let patience = Patience {
        silence: Duration::from_millis(300),
        attempts: 2,
        ..PATIENCE
    };
    for answers in [false, true] {
        let server = Server::new(move |name, _, stream| {
            if answers {
                serve_half(name, stream)?;
            }
            thread::sleep(Duration::from_secs(60));
            Ok(())
        });
        let began = Instant::now();
        let error = server.refused(patience);
        assert_eq!(
            error,
            format!("{}: the server was silent for 0.3 s", NAMES[0])
        );
        assert_eq!(server.requests(), 2);
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{:?}",
            began.elapsed()
        );
    }
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut failures = 0;
    for (scheme, attempts) in [("http", 3), ("ftp", 1)] {
        let set = published(&files(), &format!("{scheme}://127.0.0.1:{port}/"));
        let directory = tempfile::tempdir().unwrap();
        let error = download(&set, directory.path(), PATIENCE, |progress| {
            failures += usize::from(matches!(progress, DownloadProgress::Failed { .. }));
        });
        let error = error.unwrap_err();
        assert!(matches!(&error, DownloadError::Request { .. }), "{error}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("{}{}: ", set.base_url, NAMES[0]))
        );
        assert_eq!((failures, names(directory.path()).len()), (attempts - 1, 0));
        failures = 0;
    }
}

/// Whoever cannot prove who it is gets no chance to send anything.
#[test]
fn https_takes_no_server_without_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        }
    });
    let set = published(&files(), &format!("https://127.0.0.1:{port}/"));
    let directory = tempfile::tempdir().unwrap();
    let error = download(&set, directory.path(), PATIENCE, |_| {}).unwrap_err();
    assert!(matches!(error, DownloadError::Request { .. }), "{error}");
    assert_eq!(names(directory.path()), [""; 0]);
}

#[test]
fn what_a_killed_download_left_harms_nobody() {
    let server = Server::new(|name, _, stream| serve(name, stream));
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (ours, old) = (
        format!("{}.{}.part", NAMES[0], std::process::id()),
        format!("{}.1.part", NAMES[1]),
    );
    for name in [&ours, &old, "notes.part"] {
        fs::write(path(name), "half").unwrap();
    }
    for name in [old.as_str(), "notes.part"] {
        let file = File::options().write(true).open(path(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(4000))
            .unwrap();
    }
    server.download(directory.path()).0.unwrap();
    // A young part may be another process's, and other files are none of ours.
    for name in [&ours, "notes.part"] {
        assert_eq!(fs::read(path(name)).unwrap(), b"half");
        fs::remove_file(path(name)).unwrap();
    }
    assert!(holds_the_set(directory.path()));
}

#[test]
fn downloads_side_by_side_do_not_meet() {
    let server = Server::new(|name, _, stream| {
        let content = content(name);
        head(stream, "200 OK", Some(content.len()))?;
        for byte in content.chunks(content.len() / 5) {
            thread::sleep(Duration::from_millis(2));
            stream.write_all(byte)?;
        }
        Ok(())
    });
    let directory = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| server.download(directory.path()).0.unwrap());
        }
    });
    assert!(holds_the_set(directory.path()));
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let server = Server::new(|name, _, stream| serve(name, stream));
    let parent: TempDir = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let directory = file.join("noise");
    let error = server.download(&directory).0.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}: cannot be written: ", directory.display())),
        "{error}"
    );
    assert_eq!(server.requests(), 0);
}

#[cfg(feature = "cli")]
mod program {
    //! The program asks the hosts of the catalog, which no test may reach: a proxy that refuses stands
    //! in between.

    use std::process::{Command, Output};
    use std::sync::Mutex;

    use super::*;

    /// What the program says, and what the proxy was asked for.
    fn train(flags: &str) -> (Output, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                log.lock().unwrap().push(lines.next().unwrap_or_default());
                let _ = lines.take_while(|line| !line.is_empty()).count();
                let _ = head(&mut stream, "403 Forbidden", Some(0));
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnn-tb"));
        for variable in [
            "NO_PROXY",
            "no_proxy",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
        ] {
            command.env_remove(variable);
        }
        let output = command
            .args(["train", "--data", "fashion-mnist", "--logdir", "run"])
            .args(flags.split_whitespace())
            .env("HTTPS_PROXY", proxy)
            .env("XDG_CACHE_HOME", directory.path().join("caches"))
            .current_dir(directory.path())
            .output()
            .unwrap();
        let files = names(&directory.path().join("caches/cnn-tb/fashion-mnist"));
        assert_eq!(
            (files.len(), directory.path().join("run").exists()),
            (0, false)
        );
        let asked = asked.lock().unwrap().clone();
        (output, asked)
    }

    #[test]
    fn what_cannot_be_fetched_can_be_put_there_by_hand() {
        for flags in ["", "--quiet"] {
            let (output, asked) = train(flags);
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            assert_eq!(output.stdout, b"");
            let stderr = String::from_utf8(output.stderr).unwrap();
            let mut lines: Vec<&str> = stderr.lines().collect();
            if flags.is_empty() {
                let first = lines.remove(0);
                assert!(
                    first.starts_with("fetching Fashion-MNIST into "),
                    "{stderr}"
                );
            }
            let base_url = Published::by_name("fashion-mnist").unwrap().base_url;
            assert!(
                lines[0].starts_with(&format!("error: {base_url}{}: ", NAMES[0])),
                "{stderr}"
            );
            assert!(
                lines[1].starts_with("  or fetch by hand, into "),
                "{stderr}"
            );
            assert!(
                lines[1].ends_with("/caches/cnn-tb/fashion-mnist:"),
                "{stderr}"
            );
            let urls = NAMES.map(|name| format!("  {base_url}{name}"));
            assert_eq!(lines[2..], urls, "{stderr}");
            assert_eq!(asked, ["CONNECT raw.githubusercontent.com:443 HTTP/1.1"]);
        }
    }
}
