//! The program as its users meet it: help, refusals, exit codes, and what it reads without a service.
//! Each file in `tests/cmd` is a test; `TRYCMD=overwrite` writes what the program says now.

#[test]
fn the_program_says_what_the_files_say() {
    trycmd::TestCases::new()
        .env("CLAVIGER_SOCKET", "/nonexistent/data.sock")
        .env("CLAVIGER_ADMIN_SOCKET", "/nonexistent/admin.sock")
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .case("tests/cmd/*.md")
        .case("tests/cmd/*.toml");
}
