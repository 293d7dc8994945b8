//! How often a service logs in, counted between it and the real module.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Site;

/// The count of a site's logins.
#[derive(Debug)]
pub struct LoginCounter(PathBuf);

impl LoginCounter {
    /// How many there were.
    #[must_use]
    pub fn logins(&self) -> usize {
        fs::read_to_string(&self.0).map_or(0, |lines| lines.lines().count())
    }
}

impl Site {
    /// From now on every `C_Login` on this site is counted: builds the counting module and configures it.
    ///
    /// # Panics
    /// When there is no C compiler.
    #[must_use]
    pub fn count_logins(&self) -> LoginCounter {
        let (module, count) = (self.folder().join("counter.so"), self.folder().join("logins"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/login_counter.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&module, &source])
            .arg("-ldl")
            .status();
        assert!(built.expect("a C compiler; SQLite needs one too").success());
        let real = self.token().module();
        #[expect(unsafe_code, reason = "children of this process inherit these")]
        // SAFETY: no other thread reads the environment while a test sets up its site.
        unsafe {
            env::set_var("COUNTED_MODULE", real);
            env::set_var("LOGIN_COUNT", &count);
        }
        self.change_config(&real.display().to_string(), &module.display().to_string());
        LoginCounter(count)
    }
}
