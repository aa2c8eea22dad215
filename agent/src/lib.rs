//! One per rack: finds phones, obeys leases, keeps results until confirmed.
