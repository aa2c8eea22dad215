//! The values of MobileGestalt: what a phone knows of its own kind.

use plist::Value;

use crate::phone::Phone;

/// The value of one key; `None` for a key that this phone does not know, which real phones leave out too.
pub(super) fn value(phone: &Phone, key: &str) -> Option<Value> {
    let identity = &phone.identity;
    let model = identity.model;
    let state = phone.state();
    Some(match key {
        "HasBaseband" | "has-baseband" => true.into(),
        "BatteryCurrentCapacity" => u64::from(state.battery.percent).into(),
        "BatteryIsCharging" => (state.battery.charging && state.battery.percent < 100).into(),
        "BatteryIsFullyCharged" => (state.battery.percent >= 100).into(),
        "BluetoothAddress" => identity.bluetooth_mac.clone().into(),
        "BoardId" => u64::from(model.board_id).into(),
        "BuildVersion" => identity.ios_build.clone().into(),
        "CPUArchitecture" => "arm64e".into(),
        "ChipID" => u64::from(model.chip_id).into(),
        "DeviceClass" => "iPhone".into(),
        "DeviceName" | "UserAssignedDeviceName" => state.name.into(),
        "DeviceSupportsApplePay" | "HasSEP" | "has-sep" => true.into(),
        "DieId" | "UniqueChipID" => identity.ecid.into(),
        "ExternalChargeCapability" | "ExternalPowerSourceConnected" => true.into(),
        "HWModelStr" | "HardwareModel" => model.hardware_model.into(),
        "InternalBuild" | "IsSimulator" | "is-internal-build" => false.into(),
        "MarketingNameString" | "MarketingProductName" | "marketing-name" => model.marketing_name.into(),
        "ModelNumber" => model.model_number.into(),
        "PhysicalHardwareNameString" | "ProductType" => model.product_type.into(),
        "ProductName" => "iPhone OS".into(),
        "ProductVersion" => identity.ios.to_string().into(),
        "RegionInfo" => identity.region.clone().into(),
        "RegionCode" => identity.region.split('/').next().unwrap_or_default().into(),
        "SerialNumber" => identity.serial_number.clone().into(),
        "UniqueDeviceID" => identity.udid.clone().into(),
        "WifiAddress" => identity.wifi_mac.clone().into(),
        "main-screen-width" => u64::from(model.screen.0).into(),
        "main-screen-height" => u64::from(model.screen.1).into(),
        "main-screen-scale" => 3_u64.into(),
        "main-screen-class" => 1_u64.into(),
        _ => return None,
    })
}
