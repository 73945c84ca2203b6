//! Every move of a session's life, and every one that is refused.

use super::*;

fn id(text: &str) -> SessionId {
    text.parse().unwrap()
}

fn create(text: &str) -> Move {
    Move::Create(id(text))
}

fn rename(text: &str) -> Move {
    Move::Rename(id(text))
}

/// The life of a session in which a job has just begun, or of a job outside any.
fn begun(session: Option<&str>) -> SessionLife {
    session.map_or(SessionLife::Gone, |text| SessionLife::Active { id: id(text) })
}

/// Walks `moves`; the life at the end, and the effects on the way.
#[track_caller]
fn walk(begin: Option<&str>, moves: &[Move]) -> (SessionLife, Vec<Effect>) {
    let (mut life, mut effects) = (begun(begin), Vec::new());
    for step in moves {
        let (next, effect) = life.after(step).unwrap_or_else(|unfit| panic!("{step:?} in {moves:?}: {unfit}"));
        effects.push(effect);
        life = next;
    }
    (life, effects)
}

#[track_caller]
fn check(begin: Option<&str>, moves: &[Move], end: Option<&str>, effects: &[Effect]) {
    let (life, seen) = walk(begin, moves);
    assert_eq!(life.id(), end.map(id).as_ref(), "{moves:?}");
    assert_eq!(seen, effects, "{moves:?}");
}

#[track_caller]
fn check_refused(begin: Option<&str>, moves: &[Move], why: Unfit) {
    let (last, first) = moves.split_last().unwrap();
    assert_eq!(walk(begin, first).0.after(last), Err(why), "{moves:?}");
}

#[test]
fn r13_a_job_outside_becomes_the_creator() {
    let make = || Effect::Make { id: id("a") };
    check(None, &[create("a")], Some("a"), &[make()]);
    check(None, &[create("a"), Move::EndWell], Some("a"), &[make(), Effect::Adopt]);
    check_refused(None, &[create("a"), create("b")], Unfit::InSession);
    check_refused(Some("s"), &[create("a")], Unfit::InSession);
    check_refused(Some("s"), &[Move::Delete, create("a")], Unfit::InSession);
}

#[test]
fn r14_a_creator_renames_and_deletes_at_once() {
    let make = || Effect::Make { id: id("a") };
    let now = Effect::RenameNow { to: id("b") };
    check(None, &[create("a"), rename("b"), rename("b")], Some("b"), &[make(), now, Effect::Nothing]);
    let again = [create("a"), Move::Delete, create("a")];
    check(None, &again, Some("a"), &[make(), Effect::DeleteNow, make()]);
    check(None, &[create("a"), Move::Delete, Move::EndWell], None, &[make(), Effect::DeleteNow, Effect::Nothing]);
}

#[test]
fn r15_a_rename_inside_is_pending_and_the_last_one_counts() {
    let reserve = |to: &str| Effect::Reserve { id: id(to) };
    check(Some("s"), &[rename("a"), rename("a")], Some("s"), &[reserve("a"), Effect::Nothing]);
    check(Some("s"), &[rename("a"), rename("s")], Some("s"), &[reserve("a"), Effect::Free]);
    check(Some("s"), &[rename("s")], Some("s"), &[Effect::Nothing]);
    let under = Effect::KeepUnder { id: id("b") };
    let moves = [rename("a"), rename("b"), Move::EndWell];
    check(Some("s"), &moves, Some("b"), &[reserve("a"), reserve("b"), under]);
}

#[test]
fn r16_a_job_that_does_not_end_well_leaves_its_session_as_it_was() {
    let reserve = Effect::Reserve { id: id("a") };
    check(Some("s"), &[rename("a"), Move::EndBadly], Some("s"), &[reserve, Effect::Free]);
    check(Some("s"), &[Move::Delete, Move::EndBadly], Some("s"), &[Effect::Mark, Effect::Unmark]);
    check(Some("s"), &[Move::EndBadly], Some("s"), &[Effect::Nothing]);
    let make = || Effect::Make { id: id("a") };
    check(None, &[create("a"), Move::EndBadly], Some("a"), &[make(), Effect::Nothing]);
    let now = Effect::RenameNow { to: id("b") };
    check(None, &[create("a"), rename("b"), Move::EndBadly], Some("b"), &[make(), now, Effect::Nothing]);
}

#[test]
fn r18_a_deletion_inside_waits_for_the_end_and_is_the_last_word() {
    let moves = [Move::Delete, Move::Delete, Move::EndWell];
    check(Some("s"), &moves, None, &[Effect::Mark, Effect::Nothing, Effect::Remove]);
    let reserve = Effect::Reserve { id: id("a") };
    check(Some("s"), &[rename("a"), Move::Delete], Some("s"), &[reserve, Effect::Mark]);
    check_refused(Some("s"), &[Move::Delete, rename("a")], Unfit::Deleted);
}

#[test]
fn r19_a_drop_from_outside_wins_over_the_job() {
    let stop = || Effect::Stop;
    let reserve = Effect::Reserve { id: id("a") };
    check(Some("s"), &[Move::DropRunning, Move::EndBadly], None, &[stop(), Effect::Remove]);
    check(Some("s"), &[Move::DropRunning, Move::DropRunning], Some("s"), &[stop(), Effect::Nothing]);
    check(Some("s"), &[rename("a"), Move::DropRunning], Some("s"), &[reserve, stop()]);
    check(Some("s"), &[Move::Delete, Move::DropRunning], Some("s"), &[Effect::Mark, stop()]);
    let make = Effect::Make { id: id("a") };
    check(None, &[create("a"), Move::DropRunning, Move::EndBadly], None, &[make, stop(), Effect::Remove]);
    for late in [Move::EndWell, Move::Delete, rename("a")] {
        check_refused(Some("s"), &[Move::DropRunning, late], Unfit::Dropped);
    }
    check_refused(None, &[Move::DropRunning], Unfit::NoSession);
}

#[test]
fn r17_r19_r20_nobody_is_at_work_in_a_session_that_goes_at_once_or_is_renamed_from_outside() {
    check(Some("s"), &[Move::DropIdle], None, &[Effect::Remove]);
    check(Some("s"), &[Move::DropRunning, Move::DropIdle], None, &[Effect::Stop, Effect::Remove]);
    let now = Effect::RenameNow { to: id("a") };
    check(Some("s"), &[Move::RenameIdle(id("s")), Move::RenameIdle(id("a"))], Some("a"), &[Effect::Nothing, now]);
    check_refused(Some("s"), &[Move::DropRunning, Move::RenameIdle(id("a"))], Unfit::Dropped);
    for idle in [Move::DropIdle, Move::RenameIdle(id("b"))] {
        check_refused(None, &[create("a"), idle.clone()], Unfit::AtWork);
        check_refused(Some("s"), &[rename("a"), idle.clone()], Unfit::AtWork);
        check_refused(Some("s"), &[Move::Delete, idle.clone()], Unfit::AtWork);
        check_refused(None, &[idle], Unfit::NoSession);
    }
}

#[test]
fn outside_there_is_nothing_to_rename_or_delete() {
    check_refused(None, &[rename("a")], Unfit::NoSession);
    check_refused(None, &[Move::Delete], Unfit::NoSession);
    check_refused(None, &[create("a"), Move::Delete, Move::Delete], Unfit::NoSession);
}
