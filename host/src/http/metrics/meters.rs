//! What the front door counts of requests.
//!
//! Promise: there is a place for every request beforehand, by what it asked of which
//! address and how it was answered, all of them from fixed lists; so to count one
//! costs four additions.

use std::time::Duration;

use axum::http::Method;
use axum::http::StatusCode;

use crate::http::metrics::route::Route;
use crate::http::problem::Code;
use crate::meter::Bounds;
use crate::meter::Count;
use crate::meter::Noted;
use crate::meter::Spread;
use crate::meter::micros;
use crate::meter::millis;

const ANSWER_TIMES: Bounds = Bounds::of_times(&[
    micros(500),
    millis(1),
    micros(2_500),
    millis(5),
    millis(10),
    millis(25),
    millis(50),
    millis(100),
    millis(250),
    millis(1_000),
    millis(5_000),
    millis(30_000),
]);

/// The methods that the API has, and what stands for all others.
pub(super) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"];

/// The classes of statuses that it has.
pub(super) const STATUSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// The counts of a server.
pub(in crate::http) struct Meters {
    /// In the order of [`Route::ALL`].
    routes: Vec<OfRoute>,
    /// In the order of [`Code::ALL`].
    pub(super) problems: [Count; Code::ALL.len()],
}

/// The counts of one address.
struct OfRoute {
    requests: [[Count; STATUSES.len()]; METHODS.len()],
    /// How long it took until the answer began.
    time: Spread,
}

impl Default for Meters {
    fn default() -> Self {
        let of_route = |_: &Route| OfRoute { requests: Default::default(), time: Spread::new(ANSWER_TIMES) };
        Self { routes: Route::ALL.iter().map(of_route).collect(), problems: Default::default() }
    }
}

impl Meters {
    /// A request was answered, after so much time; with a problem, if it was refused.
    pub(in crate::http) fn answered(
        &self,
        route: Route,
        method: &Method,
        status: StatusCode,
        problem: Option<Code>,
        time: Duration,
    ) {
        let of_route = &self.routes[route as usize];
        of_route.requests[place_of_method(method)][place_of_status(status)].one();
        of_route.time.note_time(time);
        if let Some(code) = problem {
            self.problems[code as usize].one();
        }
    }

    /// All that was asked at all: of which address, by which method, and with what answer.
    pub(super) fn requests(&self) -> impl Iterator<Item = (Route, &'static str, &'static str, u64)> {
        let of_routes = Route::ALL.iter().zip(&self.routes);
        let all = of_routes.flat_map(|(route, of_route)| {
            METHODS.iter().zip(&of_route.requests).flat_map(move |(method, of_method)| {
                STATUSES.iter().zip(of_method).map(move |(status, count)| (*route, *method, *status, count.get()))
            })
        });
        all.filter(|(.., count)| *count > 0)
    }

    /// How long the answers of each address took that was asked for anything.
    pub(super) fn times(&self) -> impl Iterator<Item = (Route, Noted)> {
        let all = Route::ALL.iter().zip(&self.routes).map(|(route, of_route)| (*route, of_route.time.look()));
        all.filter(|(_, noted)| noted.count() > 0)
    }
}

fn place_of_method(method: &Method) -> usize {
    let method = method.as_str();
    METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1)
}

fn place_of_status(status: StatusCode) -> usize {
    match status.as_u16() {
        ..300 => 0,
        300..400 => 1,
        400..500 => 2,
        500.. => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_is_counted_under_its_own_code() {
        for (place, code) in Code::ALL.into_iter().enumerate() {
            let meters = Meters::default();
            let method = Method::from_bytes(b"BREW").unwrap();
            meters.answered(Route::Other, &method, StatusCode::BAD_REQUEST, Some(code), Duration::ZERO);
            assert_eq!((meters.problems[place].get(), meters.requests().count()), (1, 1));
            let (route, method, _, count) = meters.requests().next().unwrap();
            assert_eq!((route, method, count), (Route::Other, "other", 1));
        }
    }

    #[test]
    fn each_route_has_its_own_place() {
        for (place, route) in Route::ALL.iter().enumerate() {
            assert_eq!(*route as usize, place);
        }
    }
}
