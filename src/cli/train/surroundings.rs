//! Where a training runs: the command, the machine, the commit.

use std::io;
use std::path::{Path, PathBuf};
use std::{env, fs, thread};

use cnn_tb::nn::InstructionSet;
use cnn_tb::tb::summary::text::table;
use cnn_tb::train::TensorBoard;

use super::run_dir::argument;

/// The largest of git's files that is read here, `packed-refs`.
const MAX_BYTES: u64 = 16 << 20;

/// Logs three texts: `command_line`, `machine` and, inside a git checkout, `git_commit`.
pub fn log(log: &TensorBoard) -> io::Result<()> {
    let add = |tag, text: &str| log.add_text(tag, text).map_err(io::Error::other);
    add("command_line", &format!("    {}\n", command_line()))?;
    add("machine", &machine()?)?;
    match env::current_dir().ok().and_then(|dir| git_commit(&dir)) {
        Some(commit) => add("git_commit", &format!("`{commit}`\n")),
        None => Ok(()),
    }
}

/// The program and its arguments, as a shell takes them.
fn command_line() -> String {
    let words = env::args_os().map(|word| argument(Path::new(&word)));
    words.collect::<Vec<_>>().join(" ")
}

/// A table in Markdown.
fn machine() -> io::Result<String> {
    let cores = thread::available_parallelism().map_or_else(|_| unknown(), |n| n.to_string());
    let rows = [
        ["processor", &cpu_model().unwrap_or_else(unknown)],
        ["cores", &cores],
        ["instruction set", InstructionSet::current().name()],
        [
            "system",
            &format!("{} {}", env::consts::OS, env::consts::ARCH),
        ],
    ];
    table(["machine", ""], rows).map_err(io::Error::other)
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// As Linux names it; other systems tell it by calls of their own.
fn cpu_model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    let (_, model) = line.split_once(':')?;
    Some(model.trim().to_owned())
}

/// The commit that is checked out in the git checkout around `dir`, read from git's files. Whether
/// files differ from it is not looked at.
fn git_commit(dir: &Path) -> Option<String> {
    let git = dir.ancestors().find_map(git_directory)?;
    let head = read(&git.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ") else {
        return commit(&head);
    };
    // A worktree of its own shares its branches with the first one.
    let common = read(&git.join("commondir")).map(|path| git.join(path));
    let common = common.unwrap_or_else(|| git.clone());
    let loose = read(&common.join(name)).and_then(|text| commit(&text));
    loose.or_else(|| {
        let packed = read(&common.join("packed-refs"))?;
        let line = packed
            .lines()
            .find(|line| line.ends_with(&format!(" {name}")))?;
        commit(line.split(' ').next()?)
    })
}

/// `.git` in `dir`: a directory, or a file that says where that is.
fn git_directory(dir: &Path) -> Option<PathBuf> {
    let git = dir.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    Some(dir.join(read(&git)?.strip_prefix("gitdir: ")?))
}

fn read(path: &Path) -> Option<String> {
    let is_small = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= MAX_BYTES);
    let text = is_small.then(|| fs::read_to_string(path).ok())??;
    Some(text.trim_end().to_owned())
}

/// `text` if it is a commit's hash.
fn commit(text: &str) -> Option<String> {
    let is_hash = text.len() >= 40 && text.chars().all(|c| c.is_ascii_hexdigit());
    is_hash.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_is_found_wherever_git_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("a/b");
        fs::create_dir_all(&inside).unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let [one, two, three] = ["1", "2", "3"].map(|digit| digit.repeat(40));
        write(".git/HEAD", &format!("{one}\n"));
        assert_eq!(git_commit(&inside), Some(one.clone()));
        write(".git/HEAD", "ref: refs/heads/main\n");
        assert_eq!(git_commit(&inside), None);
        write(
            ".git/packed-refs",
            &format!("# pack-refs\n{one} refs/heads/not-main\n{two} refs/heads/main\n"),
        );
        assert_eq!(git_commit(&inside), Some(two));
        write(".git/refs/heads/main", &format!("{three}\n"));
        assert_eq!(git_commit(&inside), Some(three.clone()));
        // A worktree.
        write("tree/.git", "gitdir: ../.git/worktrees/tree\n");
        write(".git/worktrees/tree/HEAD", "ref: refs/heads/main\n");
        write(".git/worktrees/tree/commondir", "../..\n");
        assert_eq!(git_commit(&dir.path().join("tree")), Some(three));
        write(".git/refs/heads/main", "no hash\n");
        write(".git/packed-refs", "");
        assert_eq!(git_commit(&inside), None);
    }
}
