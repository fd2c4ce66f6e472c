//! A stock TensorBoard over a log directory, and what it answers over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long TensorBoard may take to start, and then to load the log directory.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// Which of TensorBoard's two readers of event files is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loader {
    /// The data server, written in Rust (`--load_fast=true`).
    Rust,
    /// The one in the web server's own process (`--load_fast=false`).
    Python,
}

impl Loader {
    pub const ALL: [Self; 2] = [Self::Rust, Self::Python];

    fn flag(self) -> &'static str {
        match self {
            Self::Rust => "--load_fast=true",
            Self::Python => "--load_fast=false",
        }
    }

    /// How `/data/environment` names it.
    fn provider(self) -> &'static str {
        match self {
            Self::Rust => "GrpcDataProvider",
            Self::Python => "MultiplexerDataProvider",
        }
    }
}

/// One point of a series. Equal if step and wall time are, and if the value has the same bits, all
/// NaNs being one.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    pub step: i64,
    /// Seconds since 1970; `None` equals any.
    pub wall_time: Option<f64>,
    pub value: f32,
}

impl PartialEq for Point {
    fn eq(&self, other: &Self) -> bool {
        let wall_times = self.wall_time.zip(other.wall_time);
        self.step == other.step
            && wall_times.is_none_or(|(ours, theirs)| ours == theirs)
            && (self.value.to_bits() == other.value.to_bits()
                || self.value.is_nan() && other.value.is_nan())
    }
}

/// All series of a log directory, by run and tag.
pub type Scalars = BTreeMap<(String, String), Vec<Point>>;

/// A running TensorBoard, which ends when this is dropped.
pub struct TensorBoard {
    process: Child,
    /// Host and port.
    address: String,
    loader: Loader,
}

impl TensorBoard {
    /// Starts TensorBoard over `logdir`, waits until it serves, and makes sure that it reads with
    /// `loader`.
    pub fn start(logdir: &Path, loader: Loader) -> Self {
        let program = program();
        let mut process = Command::new(&program)
            .arg("--logdir")
            .arg(logdir)
            .args(["--host=127.0.0.1", "--port=0", loader.flag()])
            // By default both loaders keep a sample of 1,000 points of each series.
            .arg("--samples_per_plugin=scalars=1000000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "no stock TensorBoard at {}: {error}\nrun `make test`, which installs it, or name \
                     one in CNN_TB_TENSORBOARD",
                    program.display()
                )
            });
        let stderr = process.stderr.take().unwrap();
        let mut server = Self {
            process,
            address: String::new(),
            loader,
        };
        server.address = wait_for_address(stderr);
        let environment = server.get("/data/environment", &[]);
        let provider = environment["debug"]["data_provider"].as_str().unwrap();
        assert!(provider.starts_with(loader.provider()), "{provider}");
        server
    }

    /// What a route answers to a GET, which must be JSON with status 200.
    pub fn get(&self, route: &str, parameters: &[(&str, &str)]) -> Value {
        let body = String::from_utf8(self.get_bytes(route, parameters)).unwrap();
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{route}: {error}: {body}"))
    }

    /// What a route answers to a GET, which must have status 200.
    pub fn get_bytes(&self, route: &str, parameters: &[(&str, &str)]) -> Vec<u8> {
        let (status, body) = self.request("GET", &target(route, parameters), "");
        let shown = String::from_utf8_lossy(&body);
        assert_eq!(status, 200, "GET {route} {parameters:?}: {shown}");
        body
    }

    /// Polls a route until its JSON is as wanted, which must be before the deadline.
    pub fn wait_for(
        &self,
        route: &str,
        parameters: &[(&str, &str)],
        is_wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.get(route, parameters);
            if is_wanted(&found) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{:?} loader: {found}",
                self.loader
            );
            thread::sleep(POLL);
        }
    }

    /// The groups of sessions of the HParams page, each with its hyper-parameters.
    pub fn session_groups(&self) -> Value {
        let request = json!({
            "startIndex": 0,
            "sliceSize": 100,
            "allowedStatuses":
                ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        });
        let answer = self.post("/data/plugin/hparams/session_groups", &request);
        answer["sessionGroups"].clone()
    }

    /// What a route answers to a POST of JSON, which must be JSON with status 200.
    fn post(&self, route: &str, json: &Value) -> Value {
        let (status, body) = self.request("POST", route, &json.to_string());
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "POST {route} {json}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{route}: {error}: {body}"))
    }

    /// Polls until the log directory's scalars are exactly `expected`, which must be before the
    /// deadline.
    pub fn expect_scalars(&self, expected: &Scalars) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.scalars();
            if found == *expected {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{:?} loader:\n{}",
                self.loader,
                difference(expected, &found)
            );
            thread::sleep(POLL);
        }
    }

    /// The names of all runs.
    pub fn runs(&self) -> BTreeSet<String> {
        let runs = self.get("/data/runs", &[]);
        let names = runs.as_array().unwrap().iter();
        names.map(|run| run.as_str().unwrap().to_owned()).collect()
    }

    /// Every scalar point that is loaded so far.
    fn scalars(&self) -> Scalars {
        let mut scalars = Scalars::new();
        let tags = self.get("/data/plugin/scalars/tags", &[]);
        for (run, tags) in tags.as_object().unwrap() {
            for tag in tags.as_object().unwrap().keys() {
                let route = "/data/plugin/scalars/scalars";
                let answer = self.get(route, &[("run", run), ("tag", tag)]);
                let points = answer.as_array().unwrap().iter().map(point).collect();
                scalars.insert((run.clone(), tag.clone()), points);
            }
        }
        scalars
    }

    /// One HTTP/1.0 request on a connection of its own: status and body.
    fn request(&self, method: &str, target: &str, body: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let Self { address, .. } = self;
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let body = answer.split_off(end + 4);
        let head = String::from_utf8(answer).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body)
    }
}

impl Drop for TensorBoard {
    fn drop(&mut self) {
        // Its data server ends with it. Nothing can be done about an error here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> PathBuf {
    match std::env::var_os("CNN_TB_TENSORBOARD") {
        Some(program) => program.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/tensorboard"),
    }
}

/// Reads what TensorBoard says until it names its address. The rest is read and dropped on a thread,
/// so that a full pipe cannot block the server.
fn wait_for_address(stderr: impl Read + Send + 'static) -> String {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Nobody listens any more once the address is known.
            let _ = sender.send(line);
        }
    });
    let deadline = Instant::now() + PATIENCE;
    let mut said = String::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = lines.recv_timeout(left) else {
            panic!("TensorBoard did not say where it serves:\n{said}");
        };
        if let Some((_, address)) = line.split_once("http://") {
            return address.split('/').next().unwrap().to_owned();
        }
        said += &line;
        said.push('\n');
    }
}

/// A route with its parameters, percent-encoded.
fn target(route: &str, parameters: &[(&str, &str)]) -> String {
    let mut target = route.to_owned();
    for (index, (name, value)) in parameters.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(name);
        target.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => target.push(char::from(byte)),
                _ => write!(target, "%{byte:02X}").unwrap(),
            }
        }
    }
    target
}

/// A point from its JSON form, `[wall_time, step, value]`.
fn point(json: &Value) -> Point {
    Point {
        wall_time: Some(json[0].as_f64().unwrap()),
        step: json[1].as_i64().unwrap(),
        value: number(&json[2]),
    }
}

/// A 32-bit number from its JSON form, where NaN and the infinities are strings.
fn number(json: &Value) -> f32 {
    match json {
        Value::String(name) => name.parse().unwrap(),
        _ => {
            let wide = json.as_f64().unwrap();
            let value = wide as f32;
            assert_eq!(f64::from(value), wide, "no 32-bit number");
            value
        }
    }
}

/// Where `found` is not as expected: each such series, from its first wrong point on.
fn difference(expected: &Scalars, found: &Scalars) -> String {
    let show = |points: Option<&Vec<Point>>, from: usize| match points {
        None => "no such series".to_owned(),
        Some(points) => {
            let shown: Vec<_> = points.iter().skip(from).take(5).collect();
            format!("{} points, from {from} on {shown:?}", points.len())
        }
    };
    let series: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let mut text = String::new();
    for key in series {
        let (expected, found) = (expected.get(key), found.get(key));
        if expected != found {
            let pairs = expected
                .into_iter()
                .flatten()
                .zip(found.into_iter().flatten());
            let from = pairs
                .take_while(|(expected, found)| expected == found)
                .count();
            let (run, tag) = key;
            writeln!(text, "{run} {tag}").unwrap();
            writeln!(text, "  expected {}", show(expected, from)).unwrap();
            writeln!(text, "  found    {}", show(found, from)).unwrap();
        }
    }
    text
}
