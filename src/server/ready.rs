//! The wait for everything that requests need.

use std::time::Duration;

use crate::admin::Admin;

/// Waits until requests can be answered.
pub(super) async fn wait_until_ready(admin: &Admin) {
    while !admin.unready().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
