//! The executable: hands over to [`norman_aks::cli`] and turns its result into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    norman_aks::cli::main()
}
