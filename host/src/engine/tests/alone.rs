//! The right to compute of a guest that is alone.

use async_trait::async_trait;

use crate::engine::RightToCompute;

pub(super) struct Alone;

#[async_trait]
impl RightToCompute for Alone {
    async fn wanted(&self) {
        std::future::pending().await
    }

    async fn give_way(&mut self) {}
}
