//! Module bytes before they may run: what they are, and whether we can run them.
//!
//! Promise: bytes that do not become a job are refused with a sentence that
//! names the fault; and nothing that a user compiled is ever loaded.

use std::collections::BTreeSet;

use wasmparser::ComponentExternalKind;
use wasmparser::ExternalKind;
use wasmparser::Parser;
use wasmparser::Payload;
use wasmparser::Validator;
use wasmparser::WasmFeatures;

use super::cache::Shelf;
use super::imports;
use crate::limits::MEMORY_BYTES_MAX;
use crate::model::module::ModuleKind;

/// What memories are measured in.
const PAGE_BYTES: u64 = 64 << 10;

/// What a look at module bytes found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    pub kind: ModuleKind,
    /// What it imports, as `module.name` for a core module and as the
    /// interface's name for a component; sorted.
    pub imports: Vec<String>,
}

/// Why module bytes cannot become a job. The sentence is for the client, and
/// names the fault and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadModule {
    /// This is no WebAssembly, or broken.
    #[error("{0}")]
    Invalid(String),
    /// This is WebAssembly, and not of a kind that this server runs.
    #[error("{0}")]
    Unsupported(String),
}

fn invalid<T>(sentence: impl Into<String>) -> Result<T, BadModule> {
    Err(BadModule::Invalid(sentence.into()))
}

fn unsupported<T>(sentence: impl Into<String>) -> Result<T, BadModule> {
    Err(BadModule::Unsupported(sentence.into()))
}

/// Where the header of an ELF file says for which system it is, and what Wasmtime's artefacts say there.
const ELF_OS_ABI: usize = 7;
const ELF_OS_ABI_WASMTIME: u8 = 200;

/// See [`Engine::inspect`](crate::engine::Engine::inspect).
pub(super) fn inspect(shelf: &Shelf, bytes: &[u8]) -> Result<Inspected, BadModule> {
    let kind = kind_of(bytes)?;
    // Before anything that is proportional to the code: the commonest faults are found here.
    let surface = Surface::read(bytes)?;
    match kind {
        ModuleKind::Core => surface.check_core()?,
        ModuleKind::Component => surface.check_component()?,
    }
    validate(shelf, bytes, kind)?;
    surface.check_memory()?;
    let imports = match kind {
        ModuleKind::Core => surface.imports.iter().map(|(module, name)| format!("{module}.{name}")).collect(),
        ModuleKind::Component => surface.imports.into_iter().map(|(name, _)| name).collect(),
    };
    Ok(Inspected { kind, imports })
}

/// Compiles module bytes that [`inspect`] found good, and tries whether they link. For the child only.
pub(super) fn compile(shelf: &Shelf, bytes: &[u8], kind: ModuleKind) -> Result<Vec<u8>, BadModule> {
    let compiled = match kind {
        ModuleKind::Core => shelf.engine().precompile_module(bytes),
        ModuleKind::Component => shelf.engine().precompile_component(bytes),
    };
    let artefact = match compiled {
        Ok(artefact) => artefact,
        Err(error) => return invalid(format!("the module cannot be compiled: {error:#}")),
    };
    // The imports have the right names by now; here their types are found wanting, if they are.
    match shelf.try_link(&artefact, kind) {
        Ok(()) => Ok(artefact),
        Err(error) => unsupported(format!("the module does not fit this server: {error:#}")),
    }
}

/// See [`Engine::kind_of`].
pub(super) fn kind_of(bytes: &[u8]) -> Result<ModuleKind, BadModule> {
    // Wasmtime knows its artefacts, if they are whole, by what it writes into the header of an ELF file.
    if bytes.starts_with(b"\x7fELF") && bytes.get(ELF_OS_ABI) == Some(&ELF_OS_ABI_WASMTIME) {
        return unsupported("this is a compiled artefact; upload the WebAssembly module that it was made from");
    }
    if Parser::is_core_wasm(bytes) {
        return Ok(ModuleKind::Core);
    }
    if Parser::is_component(bytes) {
        return Ok(ModuleKind::Component);
    }
    if is_text(bytes) {
        return unsupported(
            "the text format is not taken; convert it first, with `sessile assemble --from FILE --to FILE`",
        );
    }
    invalid("this is not a WebAssembly binary; one begins with the bytes 00 61 73 6d")
}

/// Whether this looks like the text format: blanks and comments, then a bracket.
fn is_text(bytes: &[u8]) -> bool {
    let mut rest = bytes.trim_ascii_start();
    while let Some(comment) = rest.strip_prefix(b";;") {
        let line = comment.iter().position(|byte| *byte == b'\n').unwrap_or(comment.len());
        rest = comment[line..].trim_ascii_start();
    }
    rest.starts_with(b"(module") || rest.starts_with(b"(component") || rest.starts_with(b"(;")
}

/// What a module shows to the outside.
#[derive(Default)]
struct Surface {
    /// For a component, the second name is empty.
    imports: BTreeSet<(String, String)>,
    functions: BTreeSet<String>,
    memories: BTreeSet<String>,
    /// Interfaces and such, of a component.
    exports: BTreeSet<String>,
    /// What the largest memory has from the beginning, those of inner modules too.
    memory_bytes_min: u64,
}

impl Surface {
    fn read(bytes: &[u8]) -> Result<Self, BadModule> {
        let mut surface = Self::default();
        // Modules inside a component have imports of their own, which are its own affair.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(broken)?;
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::MemorySection(section) => {
                    for memory in section {
                        let bytes = memory.map_err(broken)?.initial.saturating_mul(PAGE_BYTES);
                        surface.memory_bytes_min = surface.memory_bytes_min.max(bytes);
                    }
                }
                _ if depth > 0 => {}
                payload => surface.note(payload).map_err(broken)?,
            }
        }
        Ok(surface)
    }

    fn note(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    self.imports.insert((import.module.to_owned(), import.name.to_owned()));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    match export.kind {
                        ExternalKind::Func => self.functions.insert(export.name.to_owned()),
                        ExternalKind::Memory => self.memories.insert(export.name.to_owned()),
                        _ => false,
                    };
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    self.imports.insert((import?.name.name.to_owned(), String::new()));
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Instance {
                        self.exports.insert(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Refuses what no job could ever be given.
    fn check_memory(&self) -> Result<(), BadModule> {
        if self.memory_bytes_min > MEMORY_BYTES_MAX {
            return unsupported(format!(
                "the module wants a memory of {} bytes from the beginning, and a job can have at most {MEMORY_BYTES_MAX}",
                self.memory_bytes_min
            ));
        }
        Ok(())
    }

    fn check_core(&self) -> Result<(), BadModule> {
        let unknown = self.imports.iter().find(|(module, name)| !imports::offers_core(module, name));
        if let Some((module, name)) = unknown {
            return unsupported(format!(
                "`{}.{}` is not offered here; a module can import WASI p1 and `sessile_v0`",
                shown(module),
                shown(name)
            ));
        }
        if !self.functions.contains("_start") {
            let what = if self.functions.contains("_initialize") { "a reactor" } else { "a library" };
            return unsupported(format!(
                "this is {what}, because it exports no function `_start`; build a command, with a `main`"
            ));
        }
        if !self.memories.contains("memory") {
            return unsupported("the module does not export its memory under the name `memory`, which WASI needs");
        }
        Ok(())
    }

    fn check_component(&self) -> Result<(), BadModule> {
        let unknown = self.imports.iter().find(|(name, _)| !imports::offers_interface(name));
        if let Some((name, _)) = unknown {
            return unsupported(format!(
                "`{}` is not offered here; a component can import WASI 0.2 without HTTP, and `sessile:job`",
                shown(name)
            ));
        }
        if !self.exports.iter().any(|name| name.starts_with("wasi:cli/run@0.2.")) {
            return unsupported(
                "this is a library, because it does not export `wasi:cli/run` of WASI 0.2; build a command, with a `main`",
            );
        }
        Ok(())
    }
}

fn validate(shelf: &Shelf, bytes: &[u8], kind: ModuleKind) -> Result<(), BadModule> {
    let fault = match kind {
        ModuleKind::Core => match wasmtime::Module::validate(shelf.engine(), bytes) {
            Ok(()) => return Ok(()),
            Err(error) => format!("{error:#}"),
        },
        ModuleKind::Component => match Validator::new_with_features(component_features()).validate_all(bytes) {
            Ok(_) => return Ok(()),
            Err(error) => error.message().to_owned(),
        },
    };
    // Sound by the rules of some proposal, so it is one that is off here.
    let is_sound = |features| Validator::new_with_features(features).validate_all(bytes).is_ok();
    if !is_sound(WasmFeatures::all()) {
        return invalid(format!("the module is broken: {fault}"));
    }
    let wanted = OFF.iter().find(|(proposal, _)| !is_sound(WasmFeatures::all() & !*proposal));
    let wanted = wanted.map_or("a part of WebAssembly", |(_, name)| name);
    unsupported(format!("the module uses {wanted}, which is off on this server: {fault}"))
}

/// The proposals that are off, as the engines are set up (see `config`), with their names for
/// people. One that builds on another stands before it.
const OFF: [(WasmFeatures, &str); 8] = [
    (WasmFeatures::THREADS, "threads (shared memory, atomics)"),
    (WasmFeatures::MEMORY64, "memory64"),
    (WasmFeatures::MULTI_MEMORY, "multi-memory"),
    (WasmFeatures::EXCEPTIONS, "exceptions"),
    (WasmFeatures::GC, "garbage collection (gc)"),
    // Of components only: for core modules Wasmtime has no switch without its garbage collector.
    (WasmFeatures::FUNCTION_REFERENCES, "function references"),
    (WasmFeatures::CM_ASYNC, "component-model async"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "custom page sizes"),
];

fn component_features() -> WasmFeatures {
    OFF.iter().fold(WasmFeatures::default(), |on, (proposal, _)| on & !*proposal)
}

fn broken(error: wasmparser::BinaryReaderError) -> BadModule {
    BadModule::Invalid(format!("the module is broken: {error}"))
}

/// A name out of a module, fit for a sentence: it may hold anything.
fn shown(name: &str) -> String {
    name.chars().take(128).flat_map(char::escape_debug).collect()
}
