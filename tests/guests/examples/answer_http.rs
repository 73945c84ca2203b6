//! A component of the world `wasi:http/proxy` that answers every request with a few words: what `cargo xtask bench`
//! has `wasmtime serve` run. The server runs no such components.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::Fields;
use wasip2::http::types::IncomingRequest;
use wasip2::http::types::OutgoingBody;
use wasip2::http::types::OutgoingResponse;
use wasip2::http::types::ResponseOutparam;

const WORDS: &[u8] = b"nothing";

struct Answer;

wasip2::http::proxy::export!(Answer);

impl Guest for Answer {
    fn handle(_: IncomingRequest, out: ResponseOutparam) {
        let headers = Fields::new();
        headers.set("content-length", &[WORDS.len().to_string().into_bytes()]).expect("a known header");
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("it was not taken before");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("it was not taken before");
        stream.blocking_write_and_flush(WORDS).expect("somebody reads");
        drop(stream);
        OutgoingBody::finish(body, None).expect("all was written");
    }
}
