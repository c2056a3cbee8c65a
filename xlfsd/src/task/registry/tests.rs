use futures::StreamExt;
use xlfs_proto::v1::{StepState, TaskState};

use super::*;
use crate::event::{EventFilter, EventLimits, Numbering};

fn registry() -> TaskRegistry {
    let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
    TaskRegistry::new(events, TaskLimits { ended: 3, ..TaskLimits::default() })
}

fn steps() -> Vec<PlannedStep> {
    vec![PlannedStep::new("one", "a"), PlannedStep::new("two", "b")]
}

#[tokio::test]
async fn a_watcher_sees_the_end_and_then_the_stream_ends() {
    let registry = registry();
    let handle = registry.begin("create", "web", steps());
    let watch = registry.watch(handle.id()).unwrap();
    let seen = tokio::spawn(watch.collect::<Vec<_>>());
    handle.step_started(0);
    tokio::task::yield_now().await;
    handle.step_done(0);
    handle.step_already_done(1);
    handle.finish(Ok(()));
    let seen = seen.await.unwrap();
    let last = seen.last().unwrap();
    assert_eq!(last.state(), TaskState::Succeeded);
    assert_eq!(last.percent, 100);
    assert!(seen.windows(2).all(|pair| pair[0].percent <= pair[1].percent));
    assert!(seen.iter().rev().skip(1).all(|task| task.ended.is_none()));
}

#[tokio::test]
async fn a_task_that_has_ended_is_watched_once() {
    let registry = registry();
    let handle = registry.begin("create", "web", steps());
    let id = handle.id().to_owned();
    handle.finish(Err(Problem::cancelled("the user asked for it")));
    let seen: Vec<_> = registry.watch(&id).unwrap().collect().await;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].state(), TaskState::Cancelled);
    assert_eq!(seen[0].error.as_ref().unwrap().reason, "CANCELLED");
}

#[test]
fn a_dropped_handle_fails_its_task() {
    let registry = registry();
    let handle = registry.begin("create", "web", steps());
    let id = handle.id().to_owned();
    handle.step_started(1);
    drop(handle);
    let task = registry.get(&id).unwrap();
    assert_eq!(task.state(), TaskState::Failed);
    assert_eq!(task.steps[1].state(), StepState::Failed);
    assert_eq!(task.error.unwrap().code, tonic::Code::Internal as i32);
}

#[test]
fn a_panic_in_the_work_fails_the_task_and_the_registry_goes_on() {
    let registry = registry();
    let inner = registry.clone();
    let result = std::thread::spawn(move || {
        let _handle = inner.begin("create", "web", steps());
        panic!("a defect");
    })
    .join();
    assert!(result.is_err());
    assert_eq!(registry.list("web", false)[0].state(), TaskState::Failed);
    registry.begin("start", "web", steps()).finish(Ok(()));
    assert_eq!(registry.list("web", false).len(), 2);
}

#[test]
fn cancelling_tells_the_work_and_an_ended_task_refuses() {
    let registry = registry();
    let handle = registry.begin("shutdown", "web", steps());
    let id = handle.id().to_owned();
    let token = handle.cancel_token();
    registry.cancel(&id, true).unwrap();
    assert!(!token.is_cancelled(), "a dry run cancels nothing");
    assert_eq!(registry.cancel(&id, false).unwrap().state(), TaskState::Running);
    assert!(token.is_cancelled());
    handle.undoing();
    assert_eq!(registry.get(&id).unwrap().state(), TaskState::Undoing);
    handle.finish(Err(Problem::cancelled("asked for")));
    assert_eq!(registry.cancel(&id, false).unwrap_err().reason, "TASK_ENDED");
    assert_eq!(registry.cancel("nope", false).unwrap_err().reason, "NO_SUCH_TASK");
}

#[test]
fn lists_newest_first_and_forgets_the_oldest() {
    let registry = registry();
    let running = registry.begin("create", "long", steps());
    for i in 0..5 {
        registry.begin("start", format!("guest-{i}"), steps()).finish(Ok(()));
    }
    let objects = |tasks: Vec<pb::Task>| tasks.into_iter().map(|t| t.object).collect::<Vec<_>>();
    assert_eq!(objects(registry.list("", false)), ["guest-4", "guest-3", "guest-2", "long"]);
    assert_eq!(objects(registry.list("", true)), ["long"]);
    assert_eq!(objects(registry.list("guest-3", false)), ["guest-3"]);
    drop(running);
    assert_eq!(objects(registry.list("", false)), ["guest-4", "guest-3", "long"]);
}

#[tokio::test]
async fn changes_are_events_without_the_log() {
    let registry = registry();
    let mut events = registry.shared.events.subscribe(None, EventFilter::all());
    let handle = registry.begin("create", "web", steps());
    handle.log("a line");
    handle.step_started(0);
    handle.step_started(0);
    handle.finish(Err(Problem::internal("no luck")));
    let mut texts = Vec::new();
    for _ in 0..3 {
        let event = events.next().await.unwrap();
        assert_eq!(event.object, "web");
        let Some(event::Kind::Task(task)) = &event.kind else { panic!("{event:?}") };
        assert!(task.log.is_empty());
        texts.push(event.text.clone());
    }
    assert_eq!(texts, ["create web: 0 %", "create web: 0 %, one", "create web: failed: no luck"]);
    let listed = registry.list("", false).remove(0);
    assert!(listed.log.is_empty());
    assert_eq!(registry.get(&listed.id).unwrap().log[0].text, "a line");
}
