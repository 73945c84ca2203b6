//! For `cargo xtask bench`: the thinnest server that runs a guest for each
//! request: no sessions, no records, no keys, no limits on time.
//!
//! Comes in: the path of a p1 module as argument; over HTTP, `POST /`, whose body
//! is ignored.
//! Goes out: the server's ready line; for each request the guest's stdout.
//!
//! Wasmtime is set up as the engine does it (`engine/config.rs`) where that is
//! felt by a small guest: the pool with memory that stays resident, epochs
//! compiled in, and no tables for unwinding.
#![allow(clippy::print_stdout, reason = "the bench reads it")]

use std::error::Error;
use std::fs;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use wasmtime::Config;
use wasmtime::Enabled;
use wasmtime::Engine;
use wasmtime::InstanceAllocationStrategy;
use wasmtime::InstancePre;
use wasmtime::Linker;
use wasmtime::Module;
use wasmtime::PoolingAllocationConfig;
use wasmtime::Store;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

const STDOUT_BYTES_MAX: usize = 1 << 20;
const RESIDENT_BYTES: usize = 2 << 20;

struct Thin {
    engine: Engine,
    guest: InstancePre<WasiP1Ctx>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("the argument is the path of a module")?;
    let thin = Arc::new(load(&fs::read(path)?)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{{\"event\":\"ready\",\"url\":\"http://{}\"}}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        // If this fails answers are only later.
        let _ = stream.set_nodelay(true);
    });
    let router = Router::new().route("/", post(run)).with_state(thin);
    axum::serve(listener, router).await?;
    Ok(())
}

fn load(wasm: &[u8]) -> wasmtime::Result<Thin> {
    let engine = Engine::new(&config())?;
    let module = Module::from_binary(&engine, wasm)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |wasi| wasi)?;
    // What only a session could answer is not asked by a guest that does nothing.
    linker.define_unknown_imports_as_traps(&module)?;
    let guest = linker.instantiate_pre(&module)?;
    Ok(Thin { engine, guest })
}

fn config() -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.max_memory_size(1 << 30);
    pool.linear_memory_keep_resident(RESIDENT_BYTES).table_keep_resident(RESIDENT_BYTES);
    pool.pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config.epoch_interruption(true).native_unwind_info(false);
    config.max_wasm_stack(1 << 20).async_stack_size(2 << 20);
    config
}

async fn run(State(thin): State<Arc<Thin>>) -> Result<Vec<u8>, StatusCode> {
    thin.run().await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

impl Thin {
    async fn run(&self) -> wasmtime::Result<Vec<u8>> {
        let stdout = MemoryOutputPipe::new(STDOUT_BYTES_MAX);
        let wasi = WasiCtxBuilder::new().args(&["guest", "nothing"]).stdout(stdout.clone()).build_p1();
        let mut store = Store::new(&self.engine, wasi);
        // Nothing ticks here.
        store.set_epoch_deadline(1);
        let instance = self.guest.instantiate_async(&mut store).await?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        start.call_async(&mut store, ()).await?;
        Ok(stdout.contents().to_vec())
    }
}
