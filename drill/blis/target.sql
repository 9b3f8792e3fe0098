-- The new system's import tables, made by hand from the draft's proposal: lengths and types as its people want them, what
-- must be filled, and the keys between tables.

CREATE TABLE "comment" (
  "id" bigint NOT NULL,
  "page" varchar(45) NOT NULL,
  "comment" varchar(150) NOT NULL,
  "ts" timestamptz NOT NULL,
  PRIMARY KEY ("id")
);
CREATE TABLE "custom_field_type" (
  "id" bigint NOT NULL,
  "field_type" varchar(100),
  "ts" timestamptz NOT NULL,
  PRIMARY KEY ("id")
);
CREATE TABLE "delay_measures" (
  "Latency" integer NOT NULL,
  "Recorded_At" timestamp NOT NULL,
  "Page_Name" varchar(45),
  "Request_URI" varchar(100)
);
CREATE TABLE "field_order" (
  "id" integer NOT NULL,
  "lab_config_id" bigint,
  "form_id" integer,
  "field_order" varchar(2000),
  PRIMARY KEY ("id")
);
CREATE TABLE "inv_reagent" (
  "id" integer NOT NULL,
  "name" varchar(100) NOT NULL,
  "unit" varchar(45) NOT NULL,
  "remarks" varchar(245),
  "assocation" varchar(10),
  "ts" timestamptz NOT NULL,
  PRIMARY KEY ("id")
);
CREATE TABLE "inv_supply" (
  "id" integer NOT NULL,
  "reagent_id" integer NOT NULL,
  "lot" varchar(100) NOT NULL,
  "expiry_date" date,
  "manufacturer" varchar(100),
  "supplier" varchar(100),
  "quantity_ordered" integer NOT NULL,
  "quantity_supplied" integer NOT NULL,
  "cost_per_unit" numeric(10,0),
  "date_of_order" date,
  "date_of_supply" date,
  "date_of_reception" date,
  "remarks" varchar(250),
  "ts" timestamptz NOT NULL,
  PRIMARY KEY ("id")
);
CREATE TABLE "inv_usage" (
  "id" integer NOT NULL,
  "reagent_id" integer NOT NULL,
  "lot" varchar(100) NOT NULL,
  "quantity_used" integer NOT NULL,
  "date_of_use" date NOT NULL,
  "remarks" varchar(250),
  "ts" timestamptz,
  PRIMARY KEY ("id")
);
CREATE TABLE "labtitle_custom_field" (
  "id" bigint NOT NULL,
  "field_name" varchar(45) NOT NULL,
  "field_options" varchar(200) NOT NULL,
  "field_type_id" bigint NOT NULL,
  "ts" timestamptz NOT NULL,
  PRIMARY KEY ("id")
);
CREATE TABLE "lab_config" (
  "lab_config_id" bigint NOT NULL,
  "name" varchar(45) NOT NULL,
  "location" varchar(45) NOT NULL,
  "id_mode" bigint NOT NULL,
  "p_addl" bigint NOT NULL,
  "s_addl" bigint NOT NULL,
  "daily_num" bigint NOT NULL,
  "pid" bigint NOT NULL,
  "pname" bigint NOT NULL,
  "sex" bigint NOT NULL,
  "age" bigint NOT NULL,
  "dob" bigint NOT NULL,
  "sid" bigint NOT NULL,
  "refout" bigint NOT NULL,
  "rdate" bigint NOT NULL,
  "comm" bigint NOT NULL,
  "dformat" varchar(45) NOT NULL,
  "dnum_reset" bigint NOT NULL,
  "doctor" bigint NOT NULL,
  "ageLimit" integer,
  PRIMARY KEY ("lab_config_id")
);
CREATE TABLE "lab_config_settings" (
  "id" integer NOT NULL,
  "flag1" integer,
  "flag2" integer,
  "flag3" integer,
  "flag4" integer,
  "setting1" varchar(200),
  "setting2" varchar(200),
  "setting3" varchar(200),
  "setting4" varchar(200),
  "misc" varchar(500),
  "remarks" varchar(500),
  "ts" timestamptz,
  PRIMARY KEY ("id")
);
CREATE TABLE "lab_config_specimen_type" (
  "lab_config_id" bigint NOT NULL,
  "specimen_type_id" bigint NOT NULL
);
CREATE TABLE "lab_config_test_type" (
  "lab_config_id" bigint NOT NULL,
  "test_type_id" bigint NOT NULL
);
CREATE TABLE "measure" (
  "measure_id" bigint NOT NULL,
  "name" varchar(45) NOT NULL,
  "unit_id" bigint,
  "range" varchar(500),
  "description" varchar(500),
  "ts" timestamptz NOT NULL,
  "unit" varchar(30),
  PRIMARY KEY ("measure_id")
);
CREATE TABLE "misc" (
  "id" integer NOT NULL,
  "r_id" integer NOT NULL,
  "vr_id" varchar(45) NOT NULL,
  "i1" integer NOT NULL,
  "i2" integer NOT NULL,
  "i3" integer NOT NULL,
  "i4" integer NOT NULL,
  "i5" integer NOT NULL,
  "v1" varchar(500) NOT NULL,
  "v2" varchar(500) NOT NULL,
  "v3" varchar(500) NOT NULL,
  "v4" varchar(500) NOT NULL,
  "v5" varchar(500) NOT NULL,
  "dt1" timestamp,
  "dt2" timestamp,
  "dt3" timestamp,
  "d1" date,
  "d2" date,
  "d3" date,
  "ts" timestamptz,
  PRIMARY KEY ("id")
);
CREATE TABLE "numeric_interpretation" (
  "range_u" integer,
  "range_l" integer,
  "age_u" integer,
  "age_l" integer,
  "gender" varchar(40),
  "description" varchar(40),
  "measure_id" integer,
  "id" integer NOT NULL,
  PRIMARY KEY ("id")
);
CREATE TABLE "patient" (
  "patient_id" bigint NOT NULL,
  "addl_id" varchar(40),
  "name" varchar(45),
  "sex" char(1) NOT NULL,
  "age" numeric(10,0),
  "dob" date,
  "ts" timestamptz NOT NULL,
  "partial_dob" varchar(45),
  "surr_id" varchar(45),
  "hash_value" varchar(100),
  PRIMARY KEY ("patient_id")
);
CREATE TABLE "patient_custom_data" (
  "id" bigint NOT NULL,
  "field_id" bigint NOT NULL,
  "patient_id" bigint NOT NULL,
  "field_value" varchar(45) NOT NULL,
  "ts" timestamptz NOT NULL,
  PRIMARY KEY ("id")
);
CREATE TABLE "patient_custom_field" (
  "id" bigint NOT NULL,
  "field_name" varchar(45) NOT NULL,
  "field_options" text,
  "field_type_id" bigint NOT NULL,
  "ts" timestamptz NOT NULL,
  PRIMARY KEY ("id")
);
CREATE TABLE "patient_daily" (
  "datestring" varchar(45) NOT NULL,
  "count" bigint NOT NULL
);
CREATE TABLE "reference_range" (
  "id" bigint NOT NULL,
  "measure_id" bigint NOT NULL,
  "age_min" varchar(45),
  "age_max" varchar(45),
  "sex" varchar(10),
  "range_lower" varchar(45) NOT NULL,
  "range_upper" varchar(45) NOT NULL,
  PRIMARY KEY ("id")
);
CREATE TABLE "removal_record" (
  "id" integer NOT NULL,
  "r_id" integer NOT NULL,
  "vr_id" varchar(45) NOT NULL,
  "type" integer,
  "user_id" integer,
  "remarks" varchar(500),
  "status" integer NOT NULL,
  "ts" timestamptz,
  "category" varchar(20),
  PRIMARY KEY ("id")
);
CREATE TABLE "sites" (
  "id" integer NOT NULL,
  "name" varchar(255),
  "lab_id" integer,
  "Region" varchar(40),
  "District" varchar(40),
  PRIMARY KEY ("id")
);
CREATE TABLE "specimen" (
  "specimen_id" bigint NOT NULL,
  "patient_id" bigint NOT NULL,
  "specimen_type_id" bigint NOT NULL,
  "user_id" bigint,
  "ts" timestamptz NOT NULL,
  "status_code_id" bigint,
  "referred_to" bigint,
  "comments" text,
  "aux_id" varchar(45),
  "date_collected" date NOT NULL,
  "date_recvd" date,
  "session_num" varchar(45),
  "time_collected" varchar(45),
  "report_to" bigint,
  "doctor" varchar(45),
  "date_reported" timestamp,
  "referred_to_name" varchar(70),
  "daily_num" varchar(45) NOT NULL,
  "referred_from_name" varchar(20),
  "site_id" integer,
  PRIMARY KEY ("specimen_id")
);
CREATE TABLE "specimen_custom_data" (
  "id" bigint NOT NULL,
  "field_id" bigint NOT NULL,
  "specimen_id" bigint NOT NULL,
  "field_value" varchar(45) NOT NULL,
  "ts" timestamptz NOT NULL,
  PRIMARY KEY ("id")
);
CREATE TABLE "specimen_custom_field" (
  "id" bigint NOT NULL,
  "field_name" varchar(45) NOT NULL,
  "field_options" text,
  "field_type_id" bigint NOT NULL,
  "ts" timestamptz NOT NULL,
  PRIMARY KEY ("id")
);
CREATE TABLE "specimen_session" (
  "session_num" varchar(45) NOT NULL,
  "count" bigint NOT NULL,
  PRIMARY KEY ("session_num")
);
CREATE TABLE "specimen_test" (
  "test_type_id" bigint NOT NULL,
  "specimen_type_id" bigint NOT NULL,
  "ts" timestamptz NOT NULL
);
CREATE TABLE "specimen_type" (
  "specimen_type_id" bigint NOT NULL,
  "name" varchar(45) NOT NULL,
  "description" varchar(100),
  "ts" timestamptz NOT NULL,
  "disabled" bigint NOT NULL,
  PRIMARY KEY ("specimen_type_id")
);
CREATE TABLE "stock_content" (
  "name" varchar(40),
  "current_quantity" integer,
  "date_of_use" date NOT NULL,
  "receiver" varchar(40),
  "remarks" text,
  "lot_number" varchar(40),
  "new_balance" integer
);
CREATE TABLE "stock_details" (
  "name" varchar(40),
  "lot_number" varchar(40),
  "expiry_date" varchar(40),
  "manufacturer" varchar(40),
  "quantity_ordered" integer,
  "supplier" varchar(40),
  "date_of_reception" timestamptz NOT NULL,
  "current_quantity" integer,
  "date_of_supply" timestamptz,
  "quantity_supplied" integer,
  "unit" varchar(10),
  "entry_id" integer,
  "cost_per_unit" numeric(10,0),
  "quantity_used" integer,
  "used" varchar(1000),
  "receiver" varchar(1000),
  "remarks" varchar(1000)
);
CREATE TABLE "test" (
  "test_id" bigint NOT NULL,
  "test_type_id" bigint NOT NULL,
  "result" varchar(5000),
  "comments" varchar(200),
  "user_id" bigint,
  "verified_by" bigint,
  "ts" timestamptz NOT NULL,
  "specimen_id" bigint,
  "date_verified" timestamp,
  PRIMARY KEY ("test_id")
);
CREATE TABLE "test_category" (
  "test_category_id" bigint NOT NULL,
  "name" varchar(45) NOT NULL,
  "description" varchar(100),
  "ts" timestamptz NOT NULL,
  PRIMARY KEY ("test_category_id")
);
CREATE TABLE "test_type" (
  "test_type_id" bigint NOT NULL,
  "name" varchar(45) NOT NULL,
  "description" varchar(100),
  "test_category_id" bigint NOT NULL,
  "ts" timestamptz NOT NULL,
  "is_panel" bigint,
  "disabled" bigint NOT NULL,
  "clinical_data" text,
  "hide_patient_name" integer,
  "prevalence_threshold" integer,
  "target_tat" integer,
  "is_reporting_enabled" smallint,
  PRIMARY KEY ("test_type_id")
);
CREATE TABLE "test_type_costs" (
  "earliest_date_valid" timestamptz NOT NULL,
  "test_type_id" integer NOT NULL,
  "amount" numeric(10,2) NOT NULL
);
CREATE TABLE "test_type_measure" (
  "test_type_id" bigint NOT NULL,
  "measure_id" bigint NOT NULL,
  "ts" timestamptz NOT NULL
);
CREATE TABLE "unit" (
  "unit_id" bigint NOT NULL,
  "unit" varchar(45) NOT NULL,
  "ts" timestamptz NOT NULL,
  PRIMARY KEY ("unit_id")
);

ALTER TABLE inv_supply ADD FOREIGN KEY (reagent_id) REFERENCES inv_reagent (id);
ALTER TABLE inv_usage ADD FOREIGN KEY (reagent_id) REFERENCES inv_reagent (id);
ALTER TABLE lab_config_specimen_type ADD FOREIGN KEY (specimen_type_id) REFERENCES specimen_type (specimen_type_id);
ALTER TABLE lab_config_test_type ADD FOREIGN KEY (test_type_id) REFERENCES test_type (test_type_id);
ALTER TABLE numeric_interpretation ADD FOREIGN KEY (measure_id) REFERENCES measure (measure_id);
ALTER TABLE patient_custom_data ADD FOREIGN KEY (field_id) REFERENCES patient_custom_field (id);
ALTER TABLE patient_custom_data ADD FOREIGN KEY (patient_id) REFERENCES patient (patient_id);
ALTER TABLE reference_range ADD FOREIGN KEY (measure_id) REFERENCES measure (measure_id);
ALTER TABLE specimen ADD FOREIGN KEY (patient_id) REFERENCES patient (patient_id);
ALTER TABLE specimen ADD FOREIGN KEY (specimen_type_id) REFERENCES specimen_type (specimen_type_id);
ALTER TABLE specimen_custom_data ADD FOREIGN KEY (field_id) REFERENCES specimen_custom_field (id);
ALTER TABLE specimen_custom_data ADD FOREIGN KEY (specimen_id) REFERENCES specimen (specimen_id);
ALTER TABLE specimen_test ADD FOREIGN KEY (specimen_type_id) REFERENCES specimen_type (specimen_type_id);
ALTER TABLE specimen_test ADD FOREIGN KEY (test_type_id) REFERENCES test_type (test_type_id);
ALTER TABLE test ADD FOREIGN KEY (specimen_id) REFERENCES specimen (specimen_id);
ALTER TABLE test ADD FOREIGN KEY (test_type_id) REFERENCES test_type (test_type_id);
ALTER TABLE test_type ADD FOREIGN KEY (test_category_id) REFERENCES test_category (test_category_id);
ALTER TABLE test_type_costs ADD FOREIGN KEY (test_type_id) REFERENCES test_type (test_type_id);
ALTER TABLE test_type_measure ADD FOREIGN KEY (measure_id) REFERENCES measure (measure_id);
ALTER TABLE test_type_measure ADD FOREIGN KEY (test_type_id) REFERENCES test_type (test_type_id);
ALTER TABLE patient ADD CHECK (sex IN ('F', 'M', 'O'));
ALTER TABLE stock_details ADD UNIQUE (entry_id);

CREATE TABLE lazaret_load (
  consignment varchar(32) NOT NULL,
  target_table varchar(128) NOT NULL,
  attempt bigint NOT NULL,
  row_count bigint NOT NULL,
  PRIMARY KEY (consignment, target_table)
);
