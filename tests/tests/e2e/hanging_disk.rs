//! A disk that hangs on demand, under the real programs: a library before libc's, see `hanging_disk.c`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use claviger_tests::Site;

pub(crate) struct HangingDisk {
    library: PathBuf,
    switch: PathBuf,
}

impl HangingDisk {
    pub(crate) fn new(site: &Site) -> Self {
        let (library, switch) = (site.folder().join("hanging.so"), site.folder().join("hang"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/hanging_disk.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-D_GNU_SOURCE", "-o"])
            .args([&library, &source])
            .status();
        assert!(built.expect("a C compiler; SQLite needs one too").success());
        Self { library, switch }
    }

    /// What the program's environment must hold.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("HANGING_DISK", &self.switch)]
    }

    pub(crate) fn hang(&self) {
        fs::write(&self.switch, "").unwrap();
    }

    pub(crate) fn go_on(&self) {
        fs::remove_file(&self.switch).unwrap();
    }
}
