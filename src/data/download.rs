//! Published data sets are fetched: each file whole and as it was published, or not at all.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use ureq::{Agent, Timeout};

use super::catalog::hexadecimal;
use super::{Published, PublishedFile};

/// A server that sends less is given up, in bytes per second.
const SLOWEST: u64 = 10_000;
/// No server is waited for longer than a day.
const MAX_SILENCE: Duration = Duration::from_secs(86_400);
/// Bytes that are taken from the network at a time.
const BUFFER: usize = 1 << 16;
/// A part of a file that was last written so long ago belongs to a process that was killed.
const ABANDONED: Duration = Duration::from_secs(3600);

/// How long a server is waited for, and how often it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection, for an answer and for the next bytes: at most a day.
    pub silence: Duration,
    /// How often a file is asked for, where what goes wrong may pass.
    pub attempts: u32,
    /// Before the second attempt; twice as long before each further one.
    pub pause: Duration,
}

impl Default for Patience {
    /// 30 seconds, three attempts, 2 and 4 seconds between them.
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(30),
            attempts: 3,
            pause: Duration::from_secs(2),
        }
    }
}

/// What a download tells on its way.
#[derive(Clone, Copy, Debug)]
pub enum DownloadProgress<'a> {
    /// So much of a file is there: nothing at the beginning of each attempt.
    Received {
        /// The file.
        file: &'a PublishedFile,
        /// Bytes of it.
        bytes: u64,
    },
    /// An attempt failed; there is another one after a pause.
    Failed {
        /// What went wrong.
        error: &'a DownloadError,
        /// How long the pause is.
        pause: Duration,
    },
}

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// There is no connection to the server, or it does not speak HTTP.
    #[error("{url}: {cause}")]
    Request {
        /// The file.
        url: String,
        /// What went wrong.
        cause: Box<dyn Error + Send + Sync>,
    },
    /// The server has not got the file, or does not want to give it.
    #[error("{url}: the server answers with status {status}, expected 200")]
    Status {
        /// The file.
        url: String,
        /// The server's answer (RFC 9110, section 15).
        status: u16,
    },
    /// Nothing came for [`Patience::silence`].
    #[error("{url}: the server was silent for {} s", silence.as_secs_f64())]
    Silent {
        /// The file.
        url: String,
        /// How long it was waited.
        silence: Duration,
    },
    /// The connection ended before the file did, or was too slow.
    #[error("{url}: cut off after {found} of {expected} bytes: {cause}")]
    Cut {
        /// The file.
        url: String,
        /// Bytes that came.
        found: u64,
        /// Bytes of the file that was published.
        expected: u64,
        /// What went wrong.
        cause: io::Error,
    },
    /// The server has a file of another size.
    #[error("{url}: {found} bytes, expected {expected}: this is not the file that was published")]
    Length {
        /// The file.
        url: String,
        /// Bytes that the server announces.
        found: u64,
        /// Bytes of the file that was published.
        expected: u64,
    },
    /// The server announced no length and sends more than the file has.
    #[error(
        "{url}: more than the {expected} bytes expected: this is not the file that was published"
    )]
    Endless {
        /// The file.
        url: String,
        /// Bytes of the file that was published.
        expected: u64,
    },
    /// The server has another file of the same size, or it was damaged on the way.
    #[error("{url}: SHA-256 {found}, expected {expected}: this is not the file that was published")]
    Checksum {
        /// The file.
        url: String,
        /// The checksum of what came.
        found: String,
        /// The checksum of the file that was published.
        expected: &'static str,
    },
    /// A file or directory here cannot be made or written.
    #[error("{}: cannot be written: {cause}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl DownloadError {
    /// Whether another attempt may come further.
    fn may_pass(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Cut { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            Self::Request { cause, .. } => {
                let passing = |error: &ureq::Error| matches!(error, ureq::Error::Io(_));
                cause.downcast_ref().is_some_and(passing)
            }
            _ => false,
        }
    }
}

/// Fetches the files of `set` that `directory` does not hold, and makes the directory if need be.
/// `tell` hears how it goes.
///
/// A file gets its name when it is whole and has the checksum that was published; until then it is a
/// `….part`, which no other process writes. So any number of downloads can go on side by side, and
/// one that is killed leaves nothing that harms the next. Where the URLs begin with `https://`, no
/// redirection leads away from it; a proxy is taken from the environment (`HTTPS_PROXY`, `ALL_PROXY`).
///
/// # Errors
/// The first file that could not be fetched, after so many attempts as `patience` says where another
/// one may help. What was fetched before it stays.
pub fn download(
    set: &Published,
    directory: &Path,
    patience: Patience,
    mut tell: impl FnMut(DownloadProgress<'_>),
) -> Result<(), DownloadError> {
    fs::create_dir_all(directory).map_err(|cause| io_error(directory, cause))?;
    remove_abandoned(set, directory);
    let silence = patience.silence.min(MAX_SILENCE);
    let agent = agent(set, silence);
    for file in set.missing(directory) {
        let mut pause = patience.pause;
        let mut attempt = 1;
        let fetch = Fetch {
            agent: &agent,
            url: set.url(file),
            file,
            silence,
        };
        while let Err(error) = fetch.run(directory, &mut tell) {
            if attempt >= patience.attempts || !error.may_pass() {
                return Err(error);
            }
            let error = &error;
            tell(DownloadProgress::Failed { error, pause });
            thread::sleep(pause);
            attempt += 1;
            pause = pause.saturating_mul(2);
        }
    }
    Ok(())
}

fn agent(set: &Published, silence: Duration) -> Agent {
    let silence = Some(silence);
    let config = Agent::config_builder()
        .user_agent(concat!("cnn-tb/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(silence)
        .timeout_connect(silence)
        .timeout_send_request(silence)
        .timeout_recv_response(silence)
        .timeout_per_read(silence);
    let config = match set.base_url.starts_with("https://") {
        true => config.https_only(true),
        // Without TLS a server is on this machine, as in tests, and no proxy leads there.
        false => config.proxy(None),
    };
    config.build().into()
}

fn io_error(path: &Path, cause: io::Error) -> DownloadError {
    let path = path.to_owned();
    DownloadError::Io { path, cause }
}

/// Removes what killed downloads left behind.
fn remove_abandoned(set: &Published, directory: &Path) {
    let is_abandoned = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        name.ends_with(".part")
            && set.files.iter().any(|file| name.starts_with(file.name))
            && age.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED))
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(is_abandoned) {
        // What cannot be removed takes room and does no other harm.
        let _ = fs::remove_file(entry.path());
    }
}

/// A file that is not whole yet, and goes away unless it is renamed.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    /// The part of the file `name`, which nobody else writes: also not a process of the same number on
    /// another machine or in another container.
    fn create(directory: &Path, name: &str) -> Result<Self, DownloadError> {
        let mut number = process::id();
        loop {
            let path = directory.join(format!("{name}.{number}.part"));
            match File::create_new(&path) {
                Ok(file) => return Ok(Self { path, file }),
                Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {
                    number = number.wrapping_add(1);
                }
                Err(cause) => return Err(io_error(&path, cause)),
            }
        }
    }

    /// Gives it its name, once the disk has it.
    fn finish(&self, target: &Path) -> Result<(), DownloadError> {
        let synced = self.file.sync_all();
        synced.map_err(|cause| io_error(&self.path, cause))?;
        fs::rename(&self.path, target).map_err(|cause| io_error(target, cause))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // One that was renamed is gone already.
        let _ = fs::remove_file(&self.path);
    }
}

/// A file that is fetched.
struct Fetch<'a> {
    agent: &'a Agent,
    url: String,
    file: &'a PublishedFile,
    silence: Duration,
}

impl Fetch<'_> {
    /// One attempt.
    fn run(
        &self,
        directory: &Path,
        tell: &mut impl FnMut(DownloadProgress<'_>),
    ) -> Result<(), DownloadError> {
        let mut part = Part::create(directory, self.file.name)?;
        let mut body = self.request()?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; BUFFER];
        let mut bytes = 0;
        loop {
            let file = self.file;
            tell(DownloadProgress::Received { file, bytes });
            let chunk = match self.read(&mut body, &mut buffer, bytes)? {
                0 => break,
                count => &buffer[..count],
            };
            bytes += chunk.len() as u64;
            if bytes > self.file.bytes {
                let (url, expected) = (self.url.clone(), self.file.bytes);
                return Err(DownloadError::Endless { url, expected });
            }
            hasher.update(chunk);
            let written = part.file.write_all(chunk);
            written.map_err(|cause| io_error(&part.path, cause))?;
        }
        let found = hexadecimal(&hasher.finalize());
        if found != self.file.sha256 {
            let (url, expected) = (self.url.clone(), self.file.sha256);
            return Err(DownloadError::Checksum {
                url,
                found,
                expected,
            });
        }
        part.finish(&directory.join(self.file.name))
    }

    /// Asks for the file.
    fn request(&self) -> Result<impl Read, DownloadError> {
        let slowest = Duration::from_secs(self.file.bytes / SLOWEST);
        // Of a small file a silence is told from a slow server too.
        let most = 2 * self.silence + slowest;
        let request = self.agent.get(&self.url).config();
        let request = request.timeout_recv_body(Some(most)).build();
        let answer = request.call().map_err(|error| self.refused(error))?;
        let body = answer.into_body();
        let length = body.content_length();
        if let Some(found) = length.filter(|found| *found != self.file.bytes) {
            let (url, expected) = (self.url.clone(), self.file.bytes);
            return Err(DownloadError::Length {
                url,
                found,
                expected,
            });
        }
        Ok(body.into_reader())
    }

    /// Reads what comes next, after so many `bytes`; 0 at the end of the file.
    fn read(
        &self,
        body: &mut impl Read,
        buffer: &mut [u8],
        bytes: u64,
    ) -> Result<usize, DownloadError> {
        let cut = |cause| DownloadError::Cut {
            url: self.url.clone(),
            found: bytes,
            expected: self.file.bytes,
            cause,
        };
        loop {
            match body.read(buffer) {
                Ok(0) if bytes < self.file.bytes => {
                    return Err(cut(ErrorKind::UnexpectedEof.into()));
                }
                Ok(count) => return Ok(count),
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => {
                    return Err(match ureq::Error::from(cause) {
                        error @ ureq::Error::Timeout(Timeout::PerRead) => self.refused(error),
                        error => cut(error.into_io()),
                    });
                }
            }
        }
    }

    /// Why a request brought no file.
    fn refused(&self, error: ureq::Error) -> DownloadError {
        let url = self.url.clone();
        match error {
            ureq::Error::StatusCode(status) => DownloadError::Status { url, status },
            ureq::Error::Timeout(_) => {
                let silence = self.silence;
                DownloadError::Silent { url, silence }
            }
            other => DownloadError::Request {
                url,
                cause: other.into(),
            },
        }
    }
}
