//! `/v1/sessions/{id}/params`: small named strings, over HTTP.

use serde_json::json;
use sessile_kit::TestServer;

#[tokio::test]
async fn a_value_is_plain_text_and_all_are_one_object() {
    let server = TestServer::start().await;
    let session = server.new_session().with_param("city", "Utrecht").await;
    session.set_param("greeting", "Grüße, \"all\"\nof you").await;
    session.set_param("empty", "").await;

    let one = server.get(&session.path("/params/greeting")).await.expect(200);
    assert_eq!(one.text(), "Grüße, \"all\"\nof you");
    assert_eq!(one.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(session.param("empty").await.as_deref(), Some(""));
    let all = server.get(&session.path("/params")).await.expect(200).json();
    assert_eq!(all, json!({"city": "Utrecht", "empty": "", "greeting": "Grüße, \"all\"\nof you"}));
}

#[tokio::test]
async fn a_value_is_replaced_and_deleted() {
    let server = TestServer::start().await;
    let session = server.new_session().with_param("city", "Utrecht").await;
    session.set_param("city", "Zwolle").await;
    assert_eq!(session.param("city").await.as_deref(), Some("Zwolle"));
    let _ = server.delete(&session.path("/params/city")).await.expect(204);
    assert_eq!(session.param("city").await, None);
    let _ = server.delete(&session.path("/params/city")).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_merge_sets_deletes_and_leaves_alone() {
    let server = TestServer::start().await;
    let session = server.new_session().with_param("a", "1").with_param("b", "2").with_param("c", "3").await;
    let _ = server.patch(&session.path("/params"), &json!({"a": "10", "b": null, "d": "4", "e": null})).await.good();
    let all = server.get(&session.path("/params")).await.expect(200).json();
    assert_eq!(all, json!({"a": "10", "c": "3", "d": "4"}));
}

#[tokio::test]
async fn a_merge_that_is_wrong_in_one_place_changes_nothing() {
    let server = TestServer::start().await;
    let session = server.new_session().with_param("a", "1").await;
    let too_long = "x".repeat((64 << 10) + 1);
    for wrong in [json!({"a": "2", "b": 7}), json!({"a": "2", "": "x"}), json!({"a": "2", "b": too_long})] {
        let answer = server.patch(&session.path("/params"), &wrong).await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
        assert_eq!(session.param("a").await.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn names_are_data() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    for name in ["a b", "ä", "a.b-c_d", "a%2Fb"] {
        let encoded = name.replace(' ', "%20");
        let _ = server.put(&session.path(&format!("/params/{encoded}")), name).await.good();
        let answer = server.get(&session.path(&format!("/params/{encoded}"))).await.expect(200);
        assert_eq!(answer.text(), name);
    }
    assert_eq!(session.params().await.len(), 4);
    assert!(session.params().await.contains_key("a/b"));
}

#[tokio::test]
async fn names_values_and_their_sum_are_bounded() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let put = async |name: &str, value: String| server.put(&session.path(&format!("/params/{name}")), value).await;

    let _ = put(&"n".repeat(256), String::new()).await.good();
    let _ = put(&"n".repeat(257), String::new()).await.refused(400, "invalid-request");
    let _ = put("a%0Ab", String::new()).await.refused(400, "invalid-request");
    let _ = put("value", "v".repeat(64 << 10)).await.good();
    let too_long = put("value", "v".repeat((64 << 10) + 1)).await;
    assert!(matches!(too_long.status, 400 | 413), "{too_long:?}");
    let not_text = server.put(&session.path("/params/bytes"), vec![0xff, 0xfe]).await;
    let _ = not_text.refused(400, "invalid-request");

    let mut fitting = 0;
    for n in 0..32 {
        let answer = put(&format!("p{n}"), "v".repeat(64 << 10)).await;
        if answer.status >= 400 {
            assert!(matches!(answer.status, 429 | 507), "{answer:?}");
            break;
        }
        fitting += 1;
    }
    assert!(fitting < 32, "a session took {fitting} times 64 KiB of parameters");
}
