//! Builds every guest that the tests run: the examples, the hostile guests and
//! one real program, each with a target directory of its own.
//!
//! Goes out: `guests.rs`, one constant per guest, which the kit includes; and
//! the names, by which a test finds a guest that no promise is tested with.
//!
//! Promise: nothing of the surrounding build leaks into a guest, whether the
//! tests are built by `cargo test`, `cargo clippy` or an editor.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

const P1: &str = "wasm32-wasip1";
const P2: &str = "wasm32-wasip2";

/// Small, with function names: the same as `[profile.guest]` says in both workspaces.
const PROFILE: &str = "guest";

/// A program from the registry that knows nothing of us, and the version that the tests were written against.
const REAL_PROGRAM: (&str, &str) = ("grass", "0.13.4");

/// A guest whose name begins so has no component twin, because its sin lies in preview 1 alone.
const P1_ONLY: &str = "p1_";

/// One guest, as the generated constants name it.
struct Guest {
    name: String,
    p1: PathBuf,
    p2: Option<PathBuf>,
}

impl Guest {
    /// The name of its constant.
    fn constant(&self) -> String {
        self.name.to_uppercase().replace('-', "_")
    }
}

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = here.parent().expect("the tests are a member of the workspace").to_owned();
    let target = root.join("target/guests");
    [P1, P2].into_iter().for_each(require_target);

    let mut guests = build_examples(&root, &target);
    let sins = build_sins(&here.join("guests"), &target);
    let shouted: Vec<String> = sins.iter().map(Guest::constant).collect();
    guests.extend(sins);
    guests.push(install_real_program(&target));
    guests.sort_by(|a, b| a.name.cmp(&b.name));

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("guests.rs"), generated(&guests, &shouted)).expect("the build may write to OUT_DIR");

    for watched in ["examples", "guest-sdk", "tests/guests", "tests/build.rs", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={}", root.join(watched).display());
    }
}

/// Stops with a way out when the toolchain cannot build for `target`.
fn require_target(target: &str) {
    let rustc = env::var_os("RUSTC").expect("cargo sets it");
    let answer = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    let answer = answer.expect("rustc is there, since it has compiled this file");
    let folder = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    assert!(
        answer.status.success() && Path::new(&folder).is_dir(),
        "the toolchain cannot build guests for {target} yet; run `cargo xtask setup` once"
    );
}

fn build_examples(root: &Path, target: &Path) -> Vec<Guest> {
    let names = entries(&root.join("examples")).into_iter().filter(|path| path.join("Cargo.toml").is_file());
    let names: Vec<String> = names.map(|path| stem(&path)).collect();
    let chosen: Vec<&str> = names.iter().flat_map(|name| ["--package", name]).collect();
    for triple in [P1, P2] {
        cargo_build(&root.join("Cargo.toml"), triple, target, &chosen);
    }
    names.iter().map(|name| guest(name, target, true)).collect()
}

fn build_sins(folder: &Path, target: &Path) -> Vec<Guest> {
    let names: Vec<String> = entries(&folder.join("src/bin")).iter().map(|path| stem(path)).collect();
    let has_twin = |name: &str| !name.starts_with(P1_ONLY);
    let twins: Vec<&str> = names.iter().filter(|name| has_twin(name)).flat_map(|name| ["--bin", name]).collect();
    cargo_build(&folder.join("Cargo.toml"), P1, target, &["--bins"]);
    cargo_build(&folder.join("Cargo.toml"), P2, target, &twins);
    names.iter().map(|name| guest(name, target, has_twin(name))).collect()
}

/// Takes the program as its author published it, with the author's lock file.
fn install_real_program(target: &Path) -> Guest {
    let (name, version) = REAL_PROGRAM;
    let root = target.join("real");
    let mut install = cargo();
    install.args(["install", name, "--version", version, "--locked", "--target", P1, "--root"]).arg(&root);
    install.arg("--target-dir").arg(root.join("build"));
    run(install);
    Guest { name: name.to_owned(), p1: existing(root.join("bin").join(format!("{name}.wasm"))), p2: None }
}

fn cargo_build(manifest: &Path, triple: &str, target: &Path, chosen: &[&str]) {
    let mut build = cargo();
    build.args(["build", "--quiet", "--profile", PROFILE, "--target", triple]).args(chosen);
    build.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(target);
    run(build);
}

/// Cargo without what the cargo around us has set: its wrappers and flags would
/// build another program, or build everything again each time.
fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let of_the_user = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR"];
        let of_cargo = ["CARGO", "RUSTC", "RUSTFLAGS", "RUSTDOC", "MAKEFLAGS", "DEP_"];
        let of_this_build = ["TARGET", "HOST", "PROFILE", "OUT_DIR", "OPT_LEVEL", "NUM_JOBS", "DEBUG"];
        let leaks = of_cargo.iter().any(|prefix| name.starts_with(prefix)) || of_this_build.contains(&&*name);
        if leaks && !of_the_user.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&*name);
        }
    }
    command
}

fn run(mut command: Command) {
    let status = command.status().expect("cargo is there, since it runs this build");
    assert!(status.success(), "failed to build guests: {command:?}");
}

fn guest(name: &str, target: &Path, has_twin: bool) -> Guest {
    let built = |triple: &str| existing(target.join(triple).join(PROFILE).join(format!("{name}.wasm")));
    Guest { name: name.to_owned(), p1: built(P1), p2: has_twin.then(|| built(P2)) }
}

fn existing(path: PathBuf) -> PathBuf {
    assert!(path.is_file(), "the build was said to be good, but {} is not there", path.display());
    path
}

/// The constants, and the list of them for the test that every guest is used.
fn generated(guests: &[Guest], sins: &[String]) -> String {
    let mut code = String::new();
    for guest in guests {
        let (Guest { name, p1, p2 }, shout) = (guest, guest.constant());
        let line = format!("pub const {shout}: Guest = Guest {{ name: {name:?}, p1: {p1:?}, p2: {p2:?} }};");
        writeln!(code, "/// The guest `{name}`.\n{line}").expect("a string takes it");
    }
    let names: Vec<&str> = guests.iter().map(|guest| guest.name.as_str()).collect();
    writeln!(code, "/// Every guest there is.\npub const NAMES: &[&str] = &{names:?};").expect("a string takes it");
    let sins = sins.join(", ");
    writeln!(code, "/// Those of `guests/`, among them every sin.\npub const SINS: &[Guest] = &[{sins}];")
        .expect("a string takes it");
    code
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = read.map(|entry| entry.expect("the folder can be read").path()).collect();
    paths.sort();
    paths
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("an entry has a name").to_string_lossy().into_owned()
}
