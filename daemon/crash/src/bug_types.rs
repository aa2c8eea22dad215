//! What iOS itself calls the numbers in `bug_type`, also of the many kinds that are stored and listed but not read.
//!
//! What a kind means to us is said in [`crate::Kind`].

/// Number and name as in `log_type.json` of the system's OSAnalytics framework (iOS 26), in order of number. Kinds that
/// only Macs write and those without a name of their own are left out.
const NAMES: &[(&str, &str)] = &[
    ("109", "Crash"),
    ("110", "Panic"),
    ("115", "ResetCount"),
    ("120", "LowBattery"),
    ("142", "SymptomsCPUWakes"),
    ("143", "SCPMotion"),
    ("144", "HotSpotIOMicroSS"),
    ("145", "SymptomsIO"),
    ("149", "MultitouchFirmware"),
    ("151", "ForceReset"),
    ("152", "MemorySnapshot"),
    ("154", "MemoryGraph"),
    ("155", "NetworkUsage"),
    ("156", "CoreTime"),
    ("157", "CPUMicroSS"),
    ("158", "DuetKnowledgeCollector"),
    ("159", "BasebandCrash"),
    ("161", "MotionState"),
    ("164", "SubDiagHeartBeat"),
    ("165", "StorageStatus"),
    ("166", "KeyboardAccuracy"),
    ("167", "PrivacySettings"),
    ("168", "CarouselEvent"),
    ("169", "SiriTransaction"),
    ("172", "ECCEvent"),
    ("174", "MicroStackshot"),
    ("175", "DuetDB"),
    ("176", "FlashStatus"),
    ("178", "PowerLogLite"),
    ("182", "AccessoryUpdate"),
    ("183", "OTASUpdate"),
    ("184", "GPURestart"),
    ("185", "ExcResource"),
    ("187", "Sandbox"),
    ("188", "LegacyStackshot"),
    ("192", "GasGauge"),
    ("193", "AggregateD"),
    ("194", "SURestore"),
    ("195", "BasebandStats"),
    ("198", "LegacyJetsam"),
    ("201", "Siri"),
    ("202", "SymptomsCPUUsage"),
    ("203", "SiriAppPrediction"),
    ("204", "AutoBugCapture"),
    ("206", "SymptomsCPUUsageFatal"),
    ("207", "HangSpin"),
    ("210", "Panic"),
    ("211", "CoreAnalytics"),
    ("212", "BTMetadata"),
    ("213", "Rosetta"),
    ("217", "Portrait"),
    ("218", "MultichannelAudio"),
    ("219", "SiriActionPrediction"),
    ("220", "PowerMicroStackshots"),
    ("222", "LongRunloopHang"),
    ("223", "ShortRunloopHang"),
    ("225", "AppStoreTransparency"),
    ("226", "SecurityTransparency"),
    ("227", "ExcResourceThreads"),
    ("228", "ThirdPartyHang"),
    ("230", "PowerLog"),
    ("231", "CoreHandwriting"),
    ("235", "WifiSensing"),
    ("237", "SKAdNetworkAnalytics"),
    ("238", "AppLaunchDiagnostics"),
    ("239", "HangWorkflowResponsiveness"),
    ("240", "AVConference"),
    ("241", "AMTStreamingStallNetworkDiagnostics"),
    ("242", "ProactiveDeadlockDetection"),
    ("243", "CompositorClientHang"),
    ("244", "DeviceRecoveryEnvironmentDiagnostics"),
    ("245", "DeviceRecoveryEnvironmentSystemCapture"),
    ("248", "HotSpotAppLaunchLog"),
    ("278", "log-power"),
    ("284", "GPUEvent"),
    ("288", "Stackshot"),
    ("298", "Jetsam"),
    ("301", "SystemMemoryReset"),
    ("302", "glitchyspin"),
    ("305", "AudioAccessory"),
    ("308", "OSFault"),
    ("309", "Crash"),
    ("310", "MicroRunloopHang"),
    ("312", "DiagnosticRequest"),
    ("313", "SiriSearchFeedback"),
    ("327", "ExcResourceThreads"),
    ("328", "ThirdPartyHangDeveloper"),
    ("385", "ExcResource"),
    ("409", "SystemWatchdogCrash"),
    ("410", "AutomationPanic"),
    ("509", "TerminatingStackshot"),
];

/// The system's own name for a `bug_type`: `ThirdPartyHang` for 228.
pub fn bug_type_name(bug_type: &str) -> Option<&'static str> {
    let position = NAMES.binary_search_by_key(&bug_type, |(number, _)| number).ok()?;
    NAMES.get(position).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_in_order_so_that_each_is_found() {
        assert!(NAMES.is_sorted_by(|(first, _), (second, _)| first < second));
        for (number, name) in NAMES {
            assert_eq!(bug_type_name(number), Some(*name));
        }
        assert_eq!(bug_type_name("777"), None);
        assert_eq!(bug_type_name(""), None);
    }
}
