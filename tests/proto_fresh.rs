//! Holds the committed `src/tb/proto.rs` against `proto/`, and writes it anew when the environment
//! variable `CNN_TB_REGENERATE` is set (`make proto`).

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const HEADER: &str = "\
//! The messages of event files, generated from `proto/` (`make proto`): do not edit.

#![allow(missing_docs)]
#![allow(clippy::all)]

";

/// The Rust code for every `.proto` file of the directory.
fn generate(directory: &Path) -> Result<String, Box<dyn Error>> {
    let entries: Vec<_> = fs::read_dir(directory)?.collect::<io::Result<_>>()?;
    let mut files: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "proto")
    });
    files.sort();
    let descriptors = protox::compile(&files, [directory])?;
    let module = prost_build::Module::from_protobuf_package_name("tensorboard");
    let requests = descriptors
        .file
        .into_iter()
        .map(|file| (module.clone(), file))
        .collect();
    let code = prost_build::Config::new()
        .btree_map(["."])
        .generate(requests)?;
    Ok(format!("{HEADER}{}", code[&module]))
}

#[test]
fn generated_code_is_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = root.join("src/tb/proto.rs");
    let fresh = generate(&root.join("proto")).unwrap();
    if env::var_os("CNN_TB_REGENERATE").is_some() {
        fs::write(&committed, fresh).unwrap();
    } else {
        let found = fs::read_to_string(&committed).unwrap();
        assert!(
            found == fresh,
            "{} is stale: run `make proto`",
            committed.display()
        );
    }
}
